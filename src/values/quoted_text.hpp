// Pieces of the text forms of composites, ranges and hstore, which share their quoting.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace bitdotio::wire {

struct quoted_piece {
    std::string text;
    bool quoted = false;
};

// Takes the text before any of the terminators, which are plain characters inside quotes. A
// backslash takes the next character as it is; a doubled quote within quotes is one quote. Nothing
// if the text ends first.
inline std::optional<quoted_piece> take_piece(std::string_view text, std::size_t& at,
                                              std::string_view terminators) {
    quoted_piece piece;
    bool inside = false;
    for (; at < text.size(); ++at) {
        const char c = text[at];
        if (c == '\\') {
            if (++at == text.size()) {
                return std::nullopt;
            }
            piece.text.push_back(text[at]);
        } else if (c == '"') {
            if (inside && at + 1 < text.size() && text[at + 1] == '"') {
                piece.text.push_back('"');
                ++at;
            } else {
                inside = !inside;
                piece.quoted = true;
            }
        } else if (!inside && terminators.find(c) != terminators.npos) {
            return piece;
        } else {
            piece.text.push_back(c);
        }
    }
    return std::nullopt;
}

}  // namespace bitdotio::wire
