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

namespace {

constexpr std::int64_t day_length = 86'400'000;

// Rounded to milliseconds: the double is not more exact than that.
std::int64_t milliseconds_of(double days) {
    return std::llround(days * static_cast<double>(day_length));
}

std::string clock_text(std::int64_t milliseconds) {
    char text[48];
    int length = std::snprintf(
        text, sizeof text, "%02d:%02d:%02d", static_cast<int>(milliseconds / 3'600'000),
        static_cast<int>(milliseconds / 60'000 % 60), static_cast<int>(milliseconds / 1'000 % 60));
    if (milliseconds % 1'000 != 0) {
        const auto at = static_cast<std::size_t>(length);
        length += std::snprintf(text + at, sizeof text - at, ".%03d",
                                static_cast<int>(milliseconds % 1'000));
    }
    return std::string(text, static_cast<std::size_t>(length));
}

bool set_time(cell& into, double number, bool clock, bool from_1904) {
    using namespace std::chrono;
    if (!(number >= 0) || number > 3'000'000) return false;
    const std::int64_t total = milliseconds_of(number);
    std::int64_t day = total / day_length;
    const std::int64_t rest = total % day_length;
    // Day 0 is no day of the calendar unless days are counted from 1904.
    if (day == 0 && (clock || !from_1904)) {
        into.set(cell_kind::literal, clock_text(rest));
        return true;
    }
    // The other system has a 29th of February 1900, which never existed.
    if (!from_1904 && day < 61) ++day;
    const sys_days base =
        from_1904 ? sys_days(year(1904) / January / 1) : sys_days(year(1899) / December / 30);
    const year_month_day date(base + days(day));
    const int year_number = static_cast<int>(date.year());
    if (year_number > 9'999) return false;
    char text[48];
    std::snprintf(text, sizeof text, "%04d-%02u-%02u", year_number,
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
    into.set(cell_kind::text, text);
    if (rest != 0) into.text += " " + clock_text(rest);
    return true;
}

bool set_duration(cell& into, double number) {
    if (!(std::abs(number) <= 3'000'000)) return false;
    const std::int64_t total = milliseconds_of(std::abs(number));
    into.set(cell_kind::literal, (number < 0 && total > 0 ? "-" : "") + clock_text(total));
    return true;
}

}  // namespace

bool set_sheet_number(cell& into, double number, number_look look, bool from_1904) {
    switch (look) {
        case number_look::plain: return false;
        case number_look::time: return set_time(into, number, false, from_1904);
        case number_look::clock: return set_time(into, number, true, from_1904);
        case number_look::duration: return set_duration(into, number);
    }
    return false;
}

void number_formats::add(std::size_t number, std::string_view code) {
    constexpr std::size_t most_formats = 65'536;
    if (own_.size() == most_formats) {
        throw error(errc::bad_input, std::string("the ") + format_ +
                                         " file is damaged: it has more than 65,536 formats");
    }
    own_[number] = look_of(code);
}

// Built-in formats have numbers but no codes. See: ECMA-376, Part 1, 18.8.30; [MS-XLS] 2.4.126.
number_look number_formats::look(std::size_t number) const {
    const auto own = own_.find(number);
    if (own != own_.end()) return own->second;
    if (number == 46) return number_look::duration;
    if ((number >= 18 && number <= 21) || number == 45 || number == 47) return number_look::clock;
    const bool time = (number >= 14 && number <= 22) || (number >= 27 && number <= 36) ||
                      (number >= 50 && number <= 58);
    return time ? number_look::time : number_look::plain;
}

// Looks for letters of dates and times outside quotes, escapes and brackets; [h] counts hours.
number_look look_of(std::string_view format_code) {
    const std::string code = ascii::to_lower(format_code);
    bool date = false;
    bool clock = false;
    bool month_or_minute = false;
    const auto found = [&] {
        if (date) return number_look::time;
        if (clock) return number_look::clock;
        return month_or_minute ? number_look::time : number_look::plain;
    };
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
            case ';': return found();  // what follows is for other numbers
            case 'y':
            case 'd': date = true; break;
            case 'm':
                date = date || code.compare(i, 3, "mmm") == 0;
                month_or_minute = true;
                break;
            case 'h':
            case 's': clock = true; break;
            default: break;
        }
    }
    return found();
}

}  // namespace bitdotio
