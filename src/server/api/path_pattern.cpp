// Compares pattern and path, cut at the same slashes.
#include "server/api/path_pattern.hpp"

#include "base/percent_encoding.hpp"

namespace bitdotio {

namespace {

// The rest of a path, each segment with the slash before it.
class rest_of_path {
public:
    explicit rest_of_path(std::string_view path) : rest_(path) {}

    bool is_at_end() const { return rest_.empty(); }

    // The next segment, still encoded; nothing at the end, or without a slash.
    std::optional<std::string_view> next() {
        if (!rest_.starts_with('/')) return std::nullopt;
        rest_.remove_prefix(1);
        const std::string_view segment = rest_.substr(0, rest_.find('/'));
        rest_.remove_prefix(segment.size());
        return segment;
    }

private:
    std::string_view rest_;
};

// The next segment, still encoded; nothing if there is none or it is empty.
std::optional<std::string_view> next_given(rest_of_path& path) {
    const auto segment = path.next();
    return segment && !segment->empty() ? segment : std::nullopt;
}

bool is_encoded_as(std::string_view segment, std::string_view text) {
    const bool is_plain = segment.find('%') == std::string_view::npos;
    return is_plain ? segment == text : percent_decoded(segment) == text;
}

std::optional<path_parts> match(rest_of_path pattern, rest_of_path path) {
    const auto wanted = pattern.next();
    if (!wanted) return path.is_at_end() ? std::optional(path_parts()) : std::nullopt;
    const auto given = next_given(path);
    if (!given) return std::nullopt;
    if (!wanted->starts_with('{')) {
        return is_encoded_as(*given, *wanted) ? match(pattern, path) : std::nullopt;
    }
    const std::string_view name = wanted->substr(1, wanted->size() - 2);
    std::string value = percent_decoded(*given);
    std::optional<path_parts> found;
    if (name == "db_name") {
        rest_of_path after = path;
        if (const auto second = next_given(after)) {
            found = match(pattern, after);
            if (found) value += "/" + percent_decoded(*second);
        }
        const bool is_whole = value.find('/') != std::string::npos;
        if (!found && is_whole) found = match(pattern, path);
    } else {
        found = match(pattern, path);
    }
    if (found) found->set(name, std::move(value));
    return found;
}

}  // namespace

target_parts::target_parts(std::string_view target) : path(target.substr(0, target.find('?'))) {
    query = target.substr(path.size());
    if (!query.empty()) query.remove_prefix(1);
}

std::string path_parts::named(std::string_view name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? std::string() : found->second;
}

std::optional<path_parts> match_path(std::string_view pattern, std::string_view path) {
    if (path.ends_with('/')) path.remove_suffix(1);
    return match(rest_of_path(pattern), rest_of_path(path));
}

std::optional<std::string> query_parameter(std::string_view query, std::string_view name) {
    while (!query.empty()) {
        const std::size_t end = query.find('&');
        const std::string_view pair = query.substr(0, end);
        const std::size_t equals = pair.find('=');
        if (percent_decoded(pair.substr(0, equals)) == name) {
            return equals == std::string_view::npos ? std::string()
                                                    : percent_decoded(pair.substr(equals + 1));
        }
        query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    }
    return std::nullopt;
}

}  // namespace bitdotio
