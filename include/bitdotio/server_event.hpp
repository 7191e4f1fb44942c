// What a running server reports about itself: one line of its log.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bitdotio {

/// Something that happened in a server. docs/operating.md lists the kinds and their fields.
///
/// An event never holds a key, a password, the text of a statement, or the query of an address.
///
/// Thread safety: a value.
struct server_event {
    using value = std::variant<std::string, std::int64_t, double>;

    explicit server_event(std::string kind_);

    /// Adds a field and returns the event.
    server_event& with(std::string name, value what);

    /// The field's text, or its number as text; empty if there is no field of this name.
    std::string text_of(std::string_view name) const;

    /// The event on one line, without its end, beginning with the fields "time" and "event".
    std::string json() const;
    /// The event on one line for people.
    std::string text() const;

    std::chrono::sys_time<std::chrono::microseconds> time;
    std::string kind;  ///< "wake", "session_refused", …
    std::vector<std::pair<std::string, value>> fields;
};

}  // namespace bitdotio
