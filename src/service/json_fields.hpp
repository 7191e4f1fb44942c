// Reads the fields of a JSON body as the types they must have, or names them in an error.
#pragma once

#include <bitdotio/error.hpp>

#include "base/rfc3339.hpp"

#include <boost/json/fwd.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bitdotio::api {

/// A body that cannot be read; `what()` names the field and what it should be.
class malformed_body : public error {
public:
    malformed_body(std::string field, const std::string& message)
        : error(errc::bad_input, message), field_(std::move(field)) {}

    /// The field of the body; empty for the body itself.
    const std::string& field() const noexcept { return field_; }

private:
    std::string field_;
};

/// The error that `field` must be what is `wanted`.
malformed_body wrong(std::string_view field, std::string_view wanted);

// All of these throw malformed_body.

/// A body that is nested deeper is refused: reading takes a stack frame for each level.
inline constexpr std::size_t deepest_body = 500;

boost::json::value parse(std::string_view body);
boost::json::object parse_object(std::string_view body);

/// The field if it is present and not null.
const boost::json::value* find(const boost::json::object& object, std::string_view field);

std::string required_string(const boost::json::object& object, std::string_view field);

// Nothing if the field is absent or null. Booleans and integers may come as strings too.

std::optional<bool> optional_bool(const boost::json::object& object, std::string_view field);
std::optional<std::int64_t> optional_integer(const boost::json::object& object,
                                             std::string_view field);
std::optional<instant> optional_time(const boost::json::object& object, std::string_view field);

/// Makes a JSON string.
boost::json::string text(std::string_view value);

}  // namespace bitdotio::api
