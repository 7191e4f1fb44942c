// Which path of a table a target is, and what its named parts are: a pure rule.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdotio {

/// A request's target, cut at the question mark.
struct target_parts {
    explicit target_parts(std::string_view target);

    std::string_view path;   ///< still percent-encoded
    std::string_view query;  ///< empty if there is none
};

/// What stands in a path at the names of its pattern, decoded, by these names.
class path_parts {
public:
    void set(std::string_view name, std::string value) {
        values_.insert_or_assign(std::string(name), std::move(value));
    }
    /// Empty if the pattern has no such name.
    std::string named(std::string_view name) const;

private:
    std::map<std::string, std::string, std::less<>> values_;
};

/// Compares a path with a pattern such as "/server/keys/{id}", segment by segment.
///
/// A segment is decoded before it is compared: an escaped slash separates nothing. A name in braces
/// stands for one segment, and no segment is empty, but for what a final slash leaves, which makes
/// no difference. "{db_name}" stands for a database's "user/db": two segments, or one in which the
/// slash is escaped.
std::optional<path_parts> match_path(std::string_view pattern, std::string_view path);

/// A documented path with its methods, and the call that each one means.
template <class Call>
struct documented_path {
    std::string_view pattern;
    std::vector<std::pair<std::string_view, Call>> calls;
};

/// What a table says of a request: a call, or which methods the path has; neither if the table does
/// not have the path.
template <class Call>
struct found_path {
    std::optional<Call> call;
    std::string allow;  ///< for the header of that name
    path_parts parts;
};

/// Looks a request up. The first pattern that matches holds.
template <class Call>
found_path<Call> find_path(const std::vector<documented_path<Call>>& table, std::string_view method,
                           std::string_view path) {
    found_path<Call> found;
    for (const documented_path<Call>& each : table) {
        std::optional<path_parts> parts = match_path(each.pattern, path);
        if (!parts) continue;
        found.parts = std::move(*parts);
        for (const auto& [name, call] : each.calls) {
            found.allow += (found.allow.empty() ? "" : ", ") + std::string(name);
            if (name == method) found.call = call;
        }
        break;
    }
    return found;
}

}  // namespace bitdotio
