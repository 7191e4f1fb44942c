// Unescapes COPY's text format in place.
#include "server/formats/row_writer.hpp"

#include <bitdotio/error.hpp>

namespace bitdotio {

namespace {

char unescaped(char letter) {
    switch (letter) {
        case 'b': return '\b';
        case 'f': return '\f';
        case 'n': return '\n';
        case 'r': return '\r';
        case 't': return '\t';
        case 'v': return '\v';
        default: return letter;
    }
}

}  // namespace

// See: PostgreSQL manual, SQL command COPY, "Text Format".
void write_copy_rows(std::string& piece, std::size_t columns, row_writer& writer) {
    export_row row;
    row.reserve(columns);
    std::size_t from = 0;
    while (from < piece.size()) {
        row.clear();
        bool more = true;
        while (more) {
            const std::size_t begin = from;
            std::size_t to = from;
            const bool null = piece.compare(from, 2, "\\N") == 0;
            while (from < piece.size() && piece[from] != '\t' && piece[from] != '\n') {
                if (piece[from] == '\\' && from + 1 < piece.size()) {
                    piece[to++] = unescaped(piece[from + 1]);
                    from += 2;
                } else {
                    piece[to++] = piece[from++];
                }
            }
            more = from < piece.size() && piece[from] == '\t';
            ++from;
            if (null) {
                row.emplace_back();
            } else {
                row.emplace_back(std::string_view(piece).substr(begin, to - begin));
            }
        }
        if (columns == 0) row.clear();  // PostgreSQL has tables without columns
        if (row.size() != columns) {
            throw error(errc::protocol_violated, "a row of COPY has another number of columns");
        }
        writer.write(row);
    }
}

}  // namespace bitdotio
