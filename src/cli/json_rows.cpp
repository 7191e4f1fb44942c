// Walks over the punctuation of JSON.
#include "cli/json_rows.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <cstddef>
#include <string>

namespace bitdotio::cli {

namespace {

constexpr std::string_view json_space = " \t\r\n";

std::string_view without_space(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(json_space), text.size()));
    return text.substr(0, text.find_last_not_of(json_space) + 1);
}

}  // namespace

void each_element(std::string_view array, const std::function<void(std::string_view)>& visit) {
    array = without_space(array);
    if (array.size() < 2 || array[0] != '[') return;
    std::size_t depth = 0;
    std::size_t begin = 1;
    for (std::size_t i = 0; i < array.size(); ++i) {
        const char c = array[i];
        if (c == '"') {
            for (++i; i < array.size() && array[i] != '"'; ++i) {
                i += array[i] == '\\' ? 1U : 0U;
            }
        } else if (c == '[' || c == '{') {
            ++depth;
        } else if ((c == ',' && depth == 1) || ((c == ']' || c == '}') && --depth == 0)) {
            const std::string_view element = without_space(array.substr(begin, i - begin));
            if (!element.empty()) visit(element);
            begin = i + 1;
        }
    }
}

cell cell_of(std::string_view json) {
    if (json == "null") return std::nullopt;
    if (json == "true") return "t";
    if (json == "false") return "f";
    if (!json.starts_with('"')) return std::string(json);
    if (json.find('\\') == std::string_view::npos) {
        return std::string(json.substr(1, json.size() - 2));
    }
    return boost::json::value_to<std::string>(boost::json::parse(json));
}

}  // namespace bitdotio::cli
