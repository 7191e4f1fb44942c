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

    /// Keeps a small capacity of the text: rows are read into the same cells.
    void set(cell_kind what, std::string_view value) {
        drop_large();
        kind = what;
        text.assign(value);
    }
    void clear() {
        drop_large();
        kind = cell_kind::null;
        text.clear();
    }

private:
    // Else rows whose large value is in another column each time would add up.
    void drop_large() {
        if (text.capacity() > 32 * 1024) std::string().swap(text);
    }
};

using cells = std::vector<cell>;

}  // namespace bitdotio
