// Takes a text apart from its front.
#pragma once

#include <string_view>

namespace bitdotio {

/// Removes `c` if the text begins with it, and returns whether it did.
inline bool take(std::string_view& text, char c) noexcept {
    if (!text.starts_with(c)) return false;
    text.remove_prefix(1);
    return true;
}

}  // namespace bitdotio
