// Percent-encoding, as URLs have it (RFC 3986, section 2.1).
#pragma once

#include <string>
#include <string_view>

namespace bitdotio {

/// Percent-decoding; what is no valid escape stays as it is.
std::string percent_decoded(std::string_view text);

}  // namespace bitdotio
