// Compares a target with a pattern, and finds its named parts. A pure rule.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bitdotio {

/// A request's target, cut at the question mark.
struct target_parts {
    explicit target_parts(std::string_view target);

    std::string_view path;   ///< still percent-encoded
    std::string_view query;  ///< empty if there is none
};

/// The decoded parts of a path, by the names in its pattern.
class path_parts {
public:
    void set(std::string_view name, std::string value) {
        values_.insert_or_assign(std::string(name), std::move(value));
    }
    /// The part of this name; empty if the pattern has no such name.
    std::string named(std::string_view name) const;

private:
    std::map<std::string, std::string, std::less<>> values_;
};

/// Compares a path with a pattern such as "/server/keys/{id}", segment by segment.
///
/// A segment is decoded before it is compared: an escaped slash separates nothing. A name in braces
/// stands for one segment. No segment is empty except after a final slash, which makes no
/// difference. "{db_name}" stands for a database's "user/db": two segments, or one in which the
/// slash is escaped.
std::optional<path_parts> match_path(std::string_view pattern, std::string_view path);

/// The value of a query's parameter, decoded; nothing if it is not there.
std::optional<std::string> query_parameter(std::string_view query, std::string_view name);

}  // namespace bitdotio
