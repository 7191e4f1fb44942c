// Walks over the punctuation of JSON that is known to be well-formed.
#include "service/json_text.hpp"
#include "service/json_fields.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <cstddef>

namespace bitdotio::api {

namespace {

constexpr std::string_view space = " \t\r\n";

// The place of the quote that ends the string that begins at `open`.
std::size_t end_of_string(std::string_view json, std::size_t open) {
    std::size_t i = open + 1;
    for (; json[i] != '"'; ++i) {
        i += json[i] == '\\';
    }
    return i;
}

std::string_view trimmed(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(space), text.size()));
    return text.substr(0, text.find_last_not_of(space) + 1);
}

}  // namespace

std::string_view text_of(std::string_view object, std::string_view field) {
    std::string_view found;
    std::string_view name;
    std::size_t depth = 0;
    std::size_t begin = 0;  // of the present value; 0 before it
    for (std::size_t i = 0; i < object.size(); ++i) {
        const char c = object[i];
        if (c == '"') {
            const std::size_t end = end_of_string(object, i);
            if (begin == 0) {
                name = object.substr(i + 1, end - i - 1);
            }
            i = end;
        } else if (c == '{' || c == '[') {
            ++depth;
        } else if (depth == 1 && c == ':') {
            begin = i + 1;
        } else if (depth == 1 && (c == ',' || c == '}')) {
            if (begin != 0 && name == field) {
                found = object.substr(begin, i - begin);  // the last of several, as values have it
            }
            begin = 0;
        } else if (c == '}' || c == ']') {
            --depth;
        }
    }
    return trimmed(found);
}

std::size_t begin_of(std::string_view object, std::string_view field) {
    std::string_view name;
    std::size_t depth = 0;
    bool is_value = false;
    for (std::size_t i = 0; i < object.size(); ++i) {
        const char c = object[i];
        if (c == '"') {
            const std::size_t end = end_of_string(object, i);
            if (!is_value) name = object.substr(i + 1, end - i - 1);
            i = end;
        } else if (c == '{' || c == '[') {
            ++depth;
        } else if (c == '}' || c == ']') {
            --depth;
        } else if (depth == 1 && c == ',') {
            is_value = false;
        } else if (depth == 1 && c == ':') {
            is_value = true;
            if (name == field) return object.find_first_not_of(space, i + 1);
        }
    }
    return std::string_view::npos;
}

std::string indented(std::string_view json) {
    parse(json);  // from here on it is known to be well-formed
    std::string out;
    std::size_t depth = 0;
    const auto line = [&] { out.append("\n").append(depth * 2, ' '); };
    for (std::size_t i = 0; i < json.size(); ++i) {
        const char c = json[i];
        switch (c) {
            case '"': {
                const std::size_t end = end_of_string(json, i);
                out += json.substr(i, end - i + 1);
                i = end;
                break;
            }
            case '{':
            case '[': {
                out += c;
                const std::size_t next = json.find_first_not_of(space, i + 1);
                if (json[next] == '}' || json[next] == ']') {
                    out += json[next];
                    i = next;
                } else {
                    ++depth;
                    line();
                }
                break;
            }
            case '}':
            case ']':
                --depth;
                line();
                out += c;
                break;
            case ',':
                out += c;
                line();
                break;
            case ':': out += ": "; break;
            default:
                if (space.find(c) == std::string_view::npos) {
                    out += c;
                }
        }
    }
    return out;
}

}  // namespace bitdotio::api
