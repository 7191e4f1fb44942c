// One value of an imported file, as its reader found it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

/// What a file says about a value.
enum class cell_kind : std::uint8_t {
    null,
    untyped,  ///< a text that may stand for any type
    text,     ///< a text, which may still be a date
    literal,  ///< a text and never anything else
    number,
    boolean,  ///< "true" or "false"
    json,     ///< an object or a list, as JSON
};

struct cell {
    cell_kind kind = cell_kind::null;
    std::string text;

    /// Keeps the capacity of the text: rows are read into the same cells.
    void set(cell_kind what, std::string_view value) {
        kind = what;
        text.assign(value);
    }
    void clear() {
        kind = cell_kind::null;
        text.clear();
    }
};

using cells = std::vector<cell>;

}  // namespace bitdotio
