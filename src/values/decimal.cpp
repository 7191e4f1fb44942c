// numeric as decimal text, with its digits counted.
#include <bitdotio/field.hpp>

#include "base/ascii.hpp"
#include "values/wire_reader.hpp"

namespace bitdotio::wire {

namespace {

// "-12.5", as the server writes a numeric, or one of its words.
bool is_numeric(std::string_view text) {
    if (text == "NaN" || text == "Infinity" || text == "-Infinity") {
        return true;
    }
    text.remove_prefix(text.starts_with('-') ? 1 : 0);
    const auto dot = text.find('.');
    const auto digits = [](std::string_view part) {
        return !part.empty() && part.find_first_not_of("0123456789") == part.npos;
    };
    return digits(text.substr(0, dot)) && (dot == text.npos || digits(text.substr(dot + 1)));
}

}  // namespace

std::string read_decimal(const field_view& field, unsigned most, std::string_view wanted) {
    std::string text;
    if (is_of(field, oids::numeric)) {
        text = field.is_binary() ? numeric_text(field) : std::string(field.data());
    } else {
        text = std::to_string(read_integer(field, std::numeric_limits<std::int64_t>::min(),
                                           std::numeric_limits<std::int64_t>::max(), wanted));
    }
    if (!is_numeric(text)) {
        throw field.mismatch(wanted, "its text is not that of a numeric");
    }
    // Significant digits lie between the first and the last digit that is not zero.
    std::size_t digits = 0, significant = 0;
    for (const char c : text) {
        if (ascii::is_digit(c) && (c != '0' || digits > 0)) {
            ++digits;
            significant = c == '0' ? significant : digits;
        }
    }
    if (significant > most) {
        throw field.mismatch(wanted, "the value has " + std::to_string(significant) +
                                         " significant digits, more than " + std::to_string(most) +
                                         "; read it as a std::string");
    }
    return text;
}

}  // namespace bitdotio::wire
