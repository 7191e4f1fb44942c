// JSON as text, for what values cannot hold, such as all digits.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace bitdotio::api {

/// The text of `field` in `object`, the text of a JSON object. Empty if there is no such field, or
/// if its name is written with escapes.
std::string_view text_of(std::string_view object, std::string_view field);

/// Where the value of the first `field` begins in `object`, which is as above; npos if there is
/// none.
std::size_t begin_of(std::string_view object, std::string_view field);

/// The JSON text with indentation, for people.
///
/// Errors: malformed_body.
std::string indented(std::string_view json);

}  // namespace bitdotio::api
