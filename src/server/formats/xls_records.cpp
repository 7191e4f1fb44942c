// Texts that begin in one record and end in another.
#include "server/formats/xls_records.hpp"
#include "server/formats/utf8.hpp"

#include <algorithm>
#include <array>

namespace bitdotio {

void xls_data::skip(std::uint64_t count) {
    while (count > 0) {
        if (at_end()) throw malformed_xls("a text ends too early");
        const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(count, rest_.size()));
        rest_.remove_prefix(now);
        count -= now;
    }
}

// The second of two records begins with the flags again, and its characters may have the other
// width. See: [MS-XLS] 2.5.293, XLUnicodeRichExtendedString; 2.4.58, Continue.
std::string xls_data::text(std::size_t characters) {
    constexpr unsigned wide = 1;
    constexpr unsigned spoken = 4;
    constexpr unsigned rich = 8;
    unsigned flags = octet();
    const std::uint64_t formats = (flags & rich) != 0 ? short_number() : 0;
    const std::uint64_t speech = (flags & spoken) != 0 ? number() : 0;
    std::string made;
    utf16_units units;
    for (std::size_t left = characters; left > 0;) {
        const std::size_t width = (flags & wide) != 0 ? 2 : 1;
        const std::size_t here = std::min(left, rest_.size() / width);
        for (std::size_t i = 0; i < here; ++i) {
            units.put(width == 2 ? number_at<std::uint16_t>(rest_, i * 2)
                                 : static_cast<std::uint8_t>(rest_[i]),
                      made);
        }
        rest_.remove_prefix(here * width);
        left -= here;
        if (left > 0) {
            rest_ = {};
            flags = octet();
        }
    }
    units.end(made);
    skip(4 * formats + speech);
    return made;
}

std::string xls_data::old_text(std::size_t characters, unsigned code_page) {
    // What Windows has in the place of control characters.
    constexpr std::array<std::uint16_t, 32> windows{
        0x20ac, 0x0081, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
        0x2039, 0x0152, 0x008d, 0x017d, 0x008f, 0x0090, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
        0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x009d, 0x017e, 0x0178};
    std::string made;
    for (std::size_t i = 0; i < characters; ++i) {
        const unsigned byte = octet();
        if (byte >= 0x80 && code_page != 1252) {
            throw error(errc::bad_input,
                        "the XLS file is of Excel 95 and has letters of code page " +
                            std::to_string(code_page) + ": save it as XLSX");
        }
        append_utf8(made, byte >= 0x80 && byte < 0xa0 ? windows[byte - 0x80] : byte);
    }
    return made;
}

}  // namespace bitdotio
