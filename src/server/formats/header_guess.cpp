// Compares the first row with those below.
#include "server/formats/header_guess.hpp"

#include "base/ascii.hpp"
#include "server/formats/column_types.hpp"

#include <bitdotio/error.hpp>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace bitdotio {

namespace {

/// What types have in common, as far as a header is told by them.
enum class value_family : std::uint8_t { none, text, number, boolean, time };

value_family family_of(column_type type) {
    switch (type) {
        case column_type::unknown: return value_family::none;
        case column_type::bigint:
        case column_type::large_bigint:
        case column_type::double_precision:
        case column_type::numeric: return value_family::number;
        case column_type::boolean: return value_family::boolean;
        case column_type::date:
        case column_type::plain_timestamp:
        case column_type::zoned_timestamp: return value_family::time;
        case column_type::text:
        case column_type::jsonb: break;
    }
    return value_family::text;
}

// A single letter is more likely a name than a truth value. A text that is never anything else is a
// time of day, or bytes.
value_family kind_of_name(const cell& value) {
    if (value.kind == cell_kind::literal) return value_family::time;
    const bool letter =
        value.kind == cell_kind::untyped && (value.text == "t" || value.text == "f");
    return letter ? value_family::text : family_of(type_of(value));
}

// Words that stand for a value that is missing say nothing about the others.
bool is_missing(const cell& value) {
    const std::string word = ascii::to_lower(value.text);
    for (const std::string_view each :
         {"", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", "."}) {
        if (word == each) return true;
    }
    return false;
}

bool is_year(const cell& value) {
    return value.text.size() == 4 &&
           std::all_of(value.text.begin(), value.text.end(), ascii::is_digit) &&
           value.text >= "1800" && value.text <= "2199";
}

// Whether the values below a cell are of one kind, and it is of another: a text above numbers. A
// year may stand for a name above whatever is no year.
bool differs_from_below(const cell& top, std::size_t column, const std::vector<cells>& below,
                        bool years_are_names) {
    if (is_missing(top)) return false;
    value_family all = value_family::none;
    bool one_kind = true;
    bool years = false;
    for (const cells& row : below) {
        if (column >= row.size() || is_missing(row[column])) continue;
        const value_family family = family_of(type_of(row[column]));
        one_kind = one_kind && (all == value_family::none || all == family);
        all = family;
        years = years || is_year(row[column]);
    }
    if (all == value_family::none) return false;
    if (years_are_names && is_year(top) && !years) return true;
    return one_kind && all != value_family::text && kind_of_name(top) != all;
}

// Columns without names, counted from 0 or 1, beside an index without a name.
bool counts_columns(const cells& first, std::size_t last) {
    if (last < 2 || !first[0].text.empty()) return false;
    if (first[1].text != "0" && first[1].text != "1") return false;
    const std::size_t begin = first[1].text == "0" ? 0 : 1;
    for (std::size_t i = 1; i < last; ++i) {
        if (first[i].text != std::to_string(begin + i - 1)) return false;
    }
    return true;
}

}  // namespace

bool is_header(const cells& first, const std::vector<cells>& below) {
    std::set<std::string_view> seen;
    bool only_names = true;  // texts, none twice, empty ones at the edges alone
    bool names_or_years = true;
    std::size_t named = 0;
    std::size_t last = first.size();
    while (last > 0 && first[last - 1].text.empty())
        --last;
    for (std::size_t i = 0; i < last; ++i) {
        if (first[i].kind == cell_kind::json) return false;
        if (first[i].text.empty()) {
            only_names = only_names && i == 0;
            continue;
        }
        ++named;
        const bool text = kind_of_name(first[i]) == value_family::text;
        const bool once = seen.insert(first[i].text).second;
        only_names = only_names && text && once;
        names_or_years = names_or_years && once && (text || is_year(first[i]));
    }
    if (named == 0) return false;
    if (only_names) return true;
    for (std::size_t i = 0; i < last; ++i) {
        if (differs_from_below(first[i], i, below, names_or_years)) return true;
    }
    return counts_columns(first, last) && !below.empty();
}

bool guess_header(table_reader& fresh) {
    constexpr std::size_t most_rows = 100;
    constexpr std::size_t most_bytes = 256 * 1024;
    cells first;
    std::vector<cells> below;
    try {
        if (!fresh.next(first)) return false;
        cells row;
        std::size_t bytes = 0;
        while (below.size() < most_rows && bytes < most_bytes && fresh.next(row)) {
            for (const cell& each : row)
                bytes += sizeof(cell) + each.text.size();
            below.push_back(std::move(row));
            row = cells();
        }
    } catch (const error& failure) {
        if (failure.code() != errc::bad_input) throw;
    }
    return is_header(first, below);
}

}  // namespace bitdotio
