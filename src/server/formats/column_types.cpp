// Types texts letter by letter: every value of a file passes here.
#include "server/formats/column_types.hpp"

#include "base/ascii.hpp"
#include "server/formats/text_pieces.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>

namespace bitdotio {

namespace {

// Counts the digits at the beginning.
std::size_t digits(std::string_view text) {
    std::size_t count = 0;
    while (count < text.size() && ascii::is_digit(text[count]))
        ++count;
    return count;
}

// Takes a number of exactly `count` digits from the text; nothing if they are not there.
std::optional<int> take_number(std::string_view& text, std::size_t count) {
    if (text.size() < count || digits(text.substr(0, count)) != count) return std::nullopt;
    int value = 0;
    for (std::size_t i = 0; i < count; ++i)
        value = value * 10 + (text[i] - '0');
    text.remove_prefix(count);
    return value;
}

bool take_date(std::string_view& text) {
    constexpr int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const auto year = take_number(text, 4);
    if (!year || *year == 0 || !take(text, '-')) return false;
    const auto month = take_number(text, 2);
    if (!month || *month < 1 || *month > 12 || !take(text, '-')) return false;
    const auto day = take_number(text, 2);
    if (!day || *day < 1) return false;
    const bool leap = (*year % 4 == 0 && *year % 100 != 0) || *year % 400 == 0;
    return *day <= lengths[*month - 1] + (*month == 2 && leap);
}

// HH:MM[:SS[.ffffff]]
bool take_time(std::string_view& text) {
    const auto hour = take_number(text, 2);
    if (!hour || *hour > 23 || !take(text, ':')) return false;
    const auto minute = take_number(text, 2);
    if (!minute || *minute > 59) return false;
    if (!take(text, ':')) return true;
    const auto second = take_number(text, 2);
    if (!second || *second > 59) return false;
    if (take(text, '.')) {
        const std::size_t count = digits(text);
        if (count == 0 || count > 6) return false;  // PostgreSQL would round more digits
        text.remove_prefix(count);
    }
    return true;
}

// Z or ±HH[[:]MM]
bool take_zone(std::string_view& text) {
    if (take(text, 'Z')) return true;
    if (!take(text, '+') && !take(text, '-')) return false;
    const auto hour = take_number(text, 2);
    if (!hour || *hour > 15) return false;
    if (text.empty()) return true;
    take(text, ':');
    const auto minute = take_number(text, 2);
    return minute && *minute <= 59;
}

column_type type_of_date(std::string_view text) {
    if (text.size() < 10 || !ascii::is_digit(text[0]) || text[4] != '-' || !take_date(text)) {
        return column_type::text;
    }
    if (text.empty()) return column_type::date;
    if (!take(text, 'T') && !take(text, ' ')) return column_type::text;
    if (!take_time(text)) return column_type::text;
    if (text.empty()) return column_type::plain_timestamp;
    return take_zone(text) && text.empty() ? column_type::zoned_timestamp : column_type::text;
}

/// A decimal without its sign: 0.digits * 10^exponent, with no zero at either end of the digits.
struct decimal {
    std::string digits;
    long exponent = 0;
};

// Takes a text apart that is known to be a number.
decimal decimal_of(std::string_view text) {
    decimal value;
    take(text, '-');
    bool fraction = false;
    for (; !text.empty() && text.front() != 'e' && text.front() != 'E'; text.remove_prefix(1)) {
        if (text.front() == '.') {
            fraction = true;
            continue;
        }
        if (value.digits.empty() && text.front() == '0') {
            value.exponent -= fraction;
            continue;
        }
        value.digits.push_back(text.front());
        value.exponent += !fraction;
    }
    if (!text.empty()) {
        text.remove_prefix(1);
        take(text, '+');
        long written = 0;
        std::from_chars(text.data(), text.data() + text.size(), written);
        value.exponent += written;
    }
    while (!value.digits.empty() && value.digits.back() == '0')
        value.digits.pop_back();
    if (value.digits.empty()) value.exponent = 0;
    return value;
}

// Whether PostgreSQL shows a double as the decimal that was written.
bool holds(double value, std::string_view text) {
    constexpr std::size_t always = 15;  // as many digits any double holds
    if (text.size() <= always) return true;
    const decimal written = decimal_of(text);
    if (written.digits.size() <= always) return true;
    char shown[32];
    const auto end = std::to_chars(shown, shown + sizeof shown, value).ptr;
    const decimal kept = decimal_of(std::string_view(shown, end));
    return written.digits == kept.digits && written.exponent == kept.exponent;
}

column_type type_of_number(std::string_view whole) {
    std::string_view text = whole;
    take(text, '-');
    const std::size_t integer = digits(text);
    // A leading zero means that it is a name made of digits; a leading plus, the number of a phone.
    if (integer > 1 && text.front() == '0') return column_type::text;
    if (integer == text.size() && integer > 0) {
        std::int64_t value = 0;
        const auto read = std::from_chars(whole.data(), whole.data() + whole.size(), value);
        if (read.ec != std::errc()) return column_type::text;
        constexpr std::int64_t exact = std::int64_t{1} << 53;
        return value > exact || value < -exact ? column_type::large_bigint : column_type::bigint;
    }
    std::string_view rest = text.substr(integer);
    std::size_t fraction = 0;
    if (take(rest, '.')) {
        fraction = digits(rest);
        rest.remove_prefix(fraction);
    }
    if (integer + fraction == 0) return column_type::text;
    if (!rest.empty()) {
        if (rest.front() != 'e' && rest.front() != 'E') return column_type::text;
        rest.remove_prefix(1);
        if (!take(rest, '-')) take(rest, '+');
        if (rest.empty() || digits(rest) != rest.size()) return column_type::text;
    }
    double value = 0;
    const auto read = std::from_chars(whole.data(), whole.data() + whole.size(), value);
    if (read.ec != std::errc() || !std::isfinite(value)) return column_type::text;
    // NUMERIC has at most 16,383 digits behind the point.
    if (holds(value, whole)) return column_type::double_precision;
    return whole.size() < 10'000 ? column_type::numeric : column_type::text;
}

bool is_boolean(std::string_view text) {
    const auto is = [&](std::string_view word) {
        return text.size() == word.size() &&
               std::equal(text.begin(), text.end(), word.begin(),
                          [](char a, char b) { return (a | 0x20) == b; });
    };
    return is("true") || is("false") || is("t") || is("f");
}

column_type type_of_untyped(std::string_view text) {
    if (text.empty()) return column_type::text;
    const char first = text.front();
    if (ascii::is_digit(first) || first == '-' || first == '.') {
        const column_type number = type_of_number(text);
        if (number != column_type::text) return number;
        // PostgreSQL's text for values that are not numbers.
        if (text == "-Infinity") return column_type::double_precision;
        return type_of_date(text);
    }
    if (is_boolean(text)) return column_type::boolean;
    if (text == "NaN" || text == "Infinity") return column_type::double_precision;
    return column_type::text;
}

bool is_among(column_type type, std::initializer_list<column_type> types) {
    return std::find(types.begin(), types.end(), type) != types.end();
}

// See: PostgreSQL manual, SQL command COPY, "Text Format".
void append_escaped(std::string& out, std::string_view text) {
    std::size_t begin = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        char letter = 0;
        switch (text[i]) {
            case '\\': letter = '\\'; break;
            case '\t': letter = 't'; break;
            case '\n': letter = 'n'; break;
            case '\r': letter = 'r'; break;
            default: continue;
        }
        out.append(text, begin, i - begin);
        out.push_back('\\');
        out.push_back(letter);
        begin = i + 1;
    }
    out.append(text, begin, text.size() - begin);
}

}  // namespace

column_type type_of(const cell& value) {
    switch (value.kind) {
        case cell_kind::null: return column_type::unknown;
        case cell_kind::untyped: return type_of_untyped(value.text);
        case cell_kind::text: return type_of_date(value.text);
        case cell_kind::literal: return column_type::text;
        case cell_kind::number: return type_of_number(value.text);
        case cell_kind::boolean: return column_type::boolean;
        case cell_kind::json: return column_type::jsonb;
    }
    return column_type::text;
}

column_type wider(column_type left, column_type right) noexcept {
    using enum column_type;
    if (left == right) return left;
    if (left == unknown) return right;
    if (right == unknown) return left;
    if (left == jsonb || right == jsonb) return jsonb;
    const auto both = [&](std::initializer_list<column_type> types) {
        return is_among(left, types) && is_among(right, types);
    };
    if (both({bigint, large_bigint})) return large_bigint;
    if (both({bigint, double_precision})) return double_precision;
    if (both({bigint, large_bigint, double_precision, numeric})) return numeric;
    if (both({date, plain_timestamp})) return plain_timestamp;
    return text;
}

std::string_view sql_name(column_type type) noexcept {
    switch (type) {
        case column_type::bigint:
        case column_type::large_bigint: return "BIGINT";
        case column_type::double_precision: return "DOUBLE PRECISION";
        case column_type::numeric: return "NUMERIC";
        case column_type::boolean: return "BOOLEAN";
        case column_type::date: return "DATE";
        case column_type::plain_timestamp: return "TIMESTAMP";
        case column_type::zoned_timestamp: return "TIMESTAMP WITH TIME ZONE";
        case column_type::jsonb: return "JSONB";
        case column_type::unknown:
        case column_type::text: break;
    }
    return "TEXT";
}

void append_copy_text(std::string& out, const cell& value, column_type type) {
    if (value.kind == cell_kind::null) {
        out += "\\N";
    } else if (type == column_type::jsonb &&
               (value.kind == cell_kind::text || value.kind == cell_kind::literal)) {
        append_escaped(out, boost::json::serialize(boost::json::string_view(value.text)));
    } else {
        append_escaped(out, value.text);
    }
}

std::string cut_name(std::string_view name, std::size_t longest) {
    if (name.size() > longest) {
        while (longest > 0 && (name[longest] & 0xc0) == 0x80)
            --longest;
        name = name.substr(0, longest);
    }
    return std::string(name);
}

// See: PostgreSQL manual, "System Columns".
void rename_system_columns(std::vector<std::string>& names) {
    for (std::string& each : names) {
        bool system = false;
        for (const std::string_view one : {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
            system = system || each == one;
        if (!system) continue;
        std::string other;
        int number = 1;
        do {
            other = each + "_" + std::to_string(number++);
        } while (std::find(names.begin(), names.end(), other) != names.end());
        each = other;
    }
}

std::vector<std::string> usable_names(const std::vector<std::string>& names, std::size_t columns) {
    std::vector<std::string> usable;
    std::set<std::string> taken;
    for (std::size_t i = 0; i < std::max(columns, names.size()); ++i) {
        std::string wanted = i < names.size() ? names[i] : std::string();
        const auto nul = std::find(wanted.begin(), wanted.end(), '\0');
        wanted.erase(nul, wanted.end());
        if (wanted.empty()) wanted = "column_" + std::to_string(i + 1);
        wanted = cut_name(wanted);
        std::string name = wanted;
        for (int again = 2; !taken.insert(name).second; ++again) {
            const std::string number = "_" + std::to_string(again);
            name = cut_name(wanted, 63 - number.size()) + number;
        }
        usable.push_back(std::move(name));
    }
    return usable;
}

}  // namespace bitdotio
