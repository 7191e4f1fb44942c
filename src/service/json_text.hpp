// JSON as text: for where values would lose what they cannot hold, such as digits.
#pragma once

#include <string>
#include <string_view>

namespace bitdotio::api {

/// What `object`, the text of a JSON object, has for `field`, as it is written there. Empty if it
/// has no such field, or writes its name with escapes.
std::string_view text_of(std::string_view object, std::string_view field);

/// The JSON text with indentation, for people.
///
/// Errors: malformed_body.
std::string indented(std::string_view json);

}  // namespace bitdotio::api
