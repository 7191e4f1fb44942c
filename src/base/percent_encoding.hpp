// Percent-encoding, as URLs have it (RFC 3986, section 2.1).
#pragma once

#include <string>
#include <string_view>

namespace bitdotio {

/// All but the unreserved characters as escapes: letters, digits and "-._~" stay.
std::string percent_encoded(std::string_view text);

/// Percent-decoding; what is no valid escape stays as it is.
std::string percent_decoded(std::string_view text);

/// The escape of one octet: "%2F".
std::string percent_escape(char octet);

}  // namespace bitdotio
