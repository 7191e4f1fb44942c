// Reads dates as spreadsheets keep them: numbers of days.
#include "server/formats/sheet_reader.hpp"

#include "base/ascii.hpp"

#include <bitdotio/error.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

namespace bitdotio {

std::vector<table_source> with_content(std::vector<table_source> sheets) {
    std::erase_if(sheets, [](const table_source& sheet) {
        cells row;
        const auto first = sheet.open();
        return !first->next(row) && first->names().empty();
    });
    if (sheets.empty()) throw error(errc::bad_input, "all sheets of the file are empty");
    return sheets;
}

bool set_sheet_time(cell& into, double number, bool from_1904) {
    using namespace std::chrono;
    if (!(number >= 0) || number > 3'000'000) return false;
    constexpr std::int64_t day_length = 86'400'000;
    // Rounded to milliseconds: the double is not more exact than that.
    const std::int64_t total = std::llround(number * static_cast<double>(day_length));
    std::int64_t day = total / day_length;
    const std::int64_t rest = total % day_length;
    char text[48];
    const auto hour = static_cast<int>(rest / 3'600'000);
    const auto minute = static_cast<int>(rest / 60'000 % 60);
    const auto second = static_cast<int>(rest / 1'000 % 60);
    const auto milli = static_cast<int>(rest % 1'000);
    if (day == 0 && !from_1904) {  // a time of day
        std::snprintf(text, sizeof text, "%02d:%02d:%02d", hour, minute, second);
        into.set(cell_kind::literal, text);
        return true;
    }
    // The other system has a 29th of February 1900, which never existed.
    if (!from_1904 && day < 61) ++day;
    const sys_days base =
        from_1904 ? sys_days(year(1904) / January / 1) : sys_days(year(1899) / December / 30);
    const year_month_day date(base + days(day));
    const int year_number = static_cast<int>(date.year());
    if (year_number > 9'999) return false;
    int length =
        std::snprintf(text, sizeof text, "%04d-%02u-%02u", year_number,
                      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
    if (rest != 0) {
        const auto at = static_cast<std::size_t>(length);
        length +=
            std::snprintf(text + at, sizeof text - at, " %02d:%02d:%02d", hour, minute, second);
    }
    into.set(cell_kind::text, text);
    if (milli != 0) {
        std::snprintf(text, sizeof text, ".%03d", milli);
        into.text += text;
    }
    return true;
}

bool set_sheet_duration(cell& into, double number) {
    if (!(std::abs(number) <= 3'000'000)) return false;
    const std::int64_t total = std::llround(std::abs(number) * 86'400'000);
    const auto hours = static_cast<int>(total / 3'600'000);
    const auto minute = static_cast<int>(total / 60'000 % 60);
    const auto second = static_cast<int>(total / 1'000 % 60);
    const auto milli = static_cast<int>(total % 1'000);
    char text[48];
    std::snprintf(text, sizeof text, "%s%02d:%02d:%02d", number < 0 && total > 0 ? "-" : "", hours,
                  minute, second);
    into.set(cell_kind::literal, text);
    if (milli != 0) {
        std::snprintf(text, sizeof text, ".%03d", milli);
        into.text += text;
    }
    return true;
}

// Looks for letters of dates and times outside quotes, escapes and brackets; [h] counts hours.
number_look look_of(std::string_view format_code) {
    const std::string code = ascii::to_lower(format_code);
    number_look found = number_look::plain;
    for (std::size_t i = 0; i < code.size(); ++i) {
        switch (code[i]) {
            case '"': i = std::min(code.find('"', i + 1), code.size()); break;
            case '\\':
            case '_':
            case '*': ++i; break;
            case '[': {
                const std::size_t end = std::min(code.find(']', i), code.size());
                const std::string_view unit = std::string_view(code).substr(i + 1, end - i - 1);
                for (const char letter : {'h', 'm', 's'}) {
                    // Not the m of [magenta].
                    if (!unit.empty() && unit.find_first_not_of(letter) == std::string_view::npos) {
                        return number_look::duration;
                    }
                }
                i = end;
                break;
            }
            case ';': return found;  // what follows is for other numbers
            case 'y':
            case 'd':
            case 'm':
            case 'h':
            case 's': found = number_look::time; break;
            default: break;
        }
    }
    return found;
}

}  // namespace bitdotio
