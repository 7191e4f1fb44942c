// Reads "bytes=0-499", "bytes=500-" and "bytes=-500".
#include "server/api/http_range.hpp"

#include <algorithm>
#include <charconv>

namespace bitdotio {

namespace {

// The number that is the whole text; one that is too large counts as the largest.
std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    if (read.ptr != text.data() + text.size() || text.empty()) return std::nullopt;
    if (read.ec == std::errc::result_out_of_range) return UINT64_MAX;
    if (read.ec != std::errc()) return std::nullopt;
    return value;
}

}  // namespace

range_answer read_range(std::string_view header, std::uint64_t size) {
    constexpr std::string_view unit = "bytes=";
    range_answer answer;
    answer.range = {0, size};
    if (!header.starts_with(unit)) return answer;
    header.remove_prefix(unit.size());
    const std::size_t dash = header.find('-');
    if (dash == std::string_view::npos || header.find(',') != std::string_view::npos) {
        return answer;
    }
    const std::string_view first = header.substr(0, dash);
    const std::string_view last = header.substr(dash + 1);
    const auto begin = number(first);
    const auto end = number(last);
    if (first.empty() ? !end : !begin || (!end && !last.empty()) || (end && *end < *begin)) {
        return answer;  // not a range
    }
    using kind = range_answer::kind;
    if (first.empty()) {  // the last so many
        answer.range.length = std::min(*end, size);
        answer.range.begin = size - answer.range.length;
        answer.what = answer.range.length > 0 ? kind::part : kind::unsatisfiable;
    } else if (*begin >= size) {
        answer.what = kind::unsatisfiable;
    } else {
        const std::uint64_t until = end && *end < size - 1 ? *end + 1 : size;
        answer.range = {*begin, until - *begin};
        answer.what = kind::part;
    }
    return answer;
}

}  // namespace bitdotio
