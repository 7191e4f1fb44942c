// Percent-encoding of URLs (RFC 3986, section 2.1).
#pragma once

#include <string>
#include <string_view>

namespace bitdotio {

/// Escapes all but the unreserved characters: letters, digits and "-._~" stay.
std::string percent_encoded(std::string_view text);

/// Decodes escapes; an invalid escape stays as it is.
std::string percent_decoded(std::string_view text);

/// The escape of one octet: "%2F".
std::string percent_escape(char octet);

}  // namespace bitdotio
