// One value of a file that is imported, as its reader found it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

/// What a file says of a value.
enum class cell_kind : std::uint8_t {
    null,
    untyped,  ///< a text that may be the text of anything
    text,     ///< a text, which may still be a date
    literal,  ///< a text and nothing else
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
