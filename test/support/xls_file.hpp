// Writes XLS files: records, a workbook of them, and the container around it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace test::xls {

/// Numbers as their bytes, the lowest first.
template <class Number>
std::string bytes(Number number) {
    return std::string(reinterpret_cast<const char*>(&number), sizeof number);
}
inline std::string u8(unsigned number) {
    return bytes(static_cast<std::uint8_t>(number));
}
inline std::string u16(unsigned number) {
    return bytes(static_cast<std::uint16_t>(number));
}
inline std::string u32(std::uint64_t number) {
    return bytes(static_cast<std::uint32_t>(number));
}

inline std::string wide(const std::u16string& text) {
    std::string made;
    for (const char16_t each : text)
        made += u16(each);
    return made;
}

inline std::string record(unsigned kind, const std::string& data) {
    return u16(kind) + u16(static_cast<unsigned>(data.size())) + data;
}

/// A text with its length in two bytes, one byte for each character.
inline std::string narrow_text(const std::string& text) {
    return u16(static_cast<unsigned>(text.size())) + u8(0) + text;
}

/// The row, the column and the style that every cell begins with.
inline std::string at(unsigned row, unsigned column, unsigned style = 0) {
    return u16(row) + u16(column) + u16(style);
}
inline std::string number(unsigned row, unsigned column, double value, unsigned style = 0) {
    return record(0x0203, at(row, column, style) + bytes(value));
}
inline std::string label(unsigned row, unsigned column, const std::string& text) {
    return record(0x0204, at(row, column) + narrow_text(text));
}
inline std::string shared_label(unsigned row, unsigned column, unsigned index) {
    return record(0x00fd, at(row, column) + u32(index));
}

/// A formula with its eight bytes of result.
inline std::string formula(unsigned row, unsigned column, const std::string& result,
                           unsigned style = 0) {
    return record(0x0006,
                  at(row, column, style) + result + u16(0) + u32(0) + u16(3) + "\x1e\1" + u8(0));
}

struct sheet {
    std::string name;
    std::string cells;
    unsigned kind = 0;    ///< 0: a sheet, 2: a chart
    unsigned hidden = 0;  ///< 1: hidden
};

/// The stream of a workbook.
///
/// Parameters: `globals` are the records before the list of sheets; `version` 0x0600, or 0x0500 of
///     Excel 95, whose names are bytes.
inline std::string workbook(const std::string& globals, const std::vector<sheet>& sheets,
                            unsigned version = 0x0600) {
    const auto begin = [&](unsigned kind) {
        return record(0x0809, u16(version) + u16(kind) + u32(0) + u32(0) + u32(0));
    };
    const std::string end = record(0x000a, "");
    const std::string flags = version == 0x0600 ? u8(0) : "";
    std::size_t place = begin(5).size() + globals.size() + end.size();
    for (const sheet& each : sheets)
        place += record(0, u32(0) + u16(0) + u8(0) + flags + each.name).size();
    std::string list;
    std::string parts;
    for (const sheet& each : sheets) {
        list += record(0x0085, u32(place + parts.size()) + u8(each.hidden) + u8(each.kind) +
                                   u8(static_cast<unsigned>(each.name.size())) + flags + each.name);
        parts += begin(each.kind == 2 ? 0x20 : 0x10) + each.cells + end;
    }
    return begin(5) + globals + list + end + parts;
}

using stream = std::pair<std::string, std::string>;  ///< name, content

/// A compound file of streams. Those of less than 4,096 bytes are in its mini stream.
///
/// Parameters: `shift` 9 or 12: a sector has 2 to the power of so many bytes.
inline std::string compound(const std::vector<stream>& streams, unsigned shift = 9) {
    constexpr std::uint32_t end = 0xfffffffe;
    constexpr std::uint32_t none = 0xffffffff;
    const std::size_t size = std::size_t{1} << shift;
    std::string body;
    std::vector<std::uint32_t> next;
    const auto add_chain = [](std::vector<std::uint32_t>& table, std::size_t count) {
        const std::size_t first = table.size();
        for (std::size_t i = 1; i <= count; ++i)
            table.push_back(i < count ? static_cast<std::uint32_t>(first + i) : end);
        return count > 0 ? static_cast<std::uint32_t>(first) : end;
    };
    const auto add = [&](const std::string& content) {
        const std::uint32_t first = add_chain(next, (content.size() + size - 1) / size);
        body += content;
        body.resize(next.size() * size);
        return first;
    };
    const auto table_bytes = [&](std::vector<std::uint32_t> table) {
        while (table.size() * 4 % size != 0)
            table.push_back(none);
        std::string made;
        for (const std::uint32_t each : table)
            made += u32(each);
        return made;
    };
    const auto entry = [&](const std::string& name, unsigned kind, std::uint32_t child,
                           std::uint32_t right, std::uint32_t first, std::size_t length) {
        std::string made;
        for (const char c : name)
            made += u16(static_cast<unsigned char>(c));
        made.resize(64);
        made += u16(static_cast<unsigned>(2 * name.size() + 2)) + u8(kind) + u8(1) + u32(none) +
                u32(right) + u32(child);
        made.resize(116);
        return made + u32(first) + bytes(static_cast<std::uint64_t>(length));
    };
    std::string small;
    std::vector<std::uint32_t> small_next;
    std::string entries;
    for (std::size_t i = 0; i < streams.size(); ++i) {
        const std::string& content = streams[i].second;
        std::uint32_t first = end;
        if (content.size() < 4'096) {
            first = add_chain(small_next, (content.size() + 63) / 64);
            small += content;
            small.resize(small_next.size() * 64);
        } else {
            first = add(content);
        }
        const auto right = i + 1 < streams.size() ? static_cast<std::uint32_t>(i + 2) : none;
        entries += entry(streams[i].first, 2, none, right, first, content.size());
    }
    const std::uint32_t small_first = add(small);
    const std::uint32_t small_table = add(table_bytes(small_next));
    const std::uint32_t directory =
        add(entry("Root Entry", 5, streams.empty() ? none : 1, none, small_first, small.size()) +
            entries);
    // The table has its own sectors in it, and those of the lists that do not fit into the header.
    constexpr std::size_t in_header = 109;
    const std::size_t in_sector = size / 4;
    std::size_t count = 1;
    std::size_t lists = 0;
    while (count * in_sector < next.size() + count + lists) {
        ++count;
        lists = count > in_header ? (count - in_header + in_sector - 2) / (in_sector - 1) : 0;
    }
    const std::size_t table_first = next.size();
    next.insert(next.end(), count, 0xfffffffd);
    const std::size_t lists_first = next.size();
    next.insert(next.end(), lists, 0xfffffffc);
    body += table_bytes(next);
    body.resize((table_first + count) * size);
    std::string numbers;
    for (std::size_t i = 0; i < in_header; ++i)
        numbers += u32(i < count ? table_first + i : none);
    for (std::size_t list = 0, i = in_header; list < lists; ++list) {
        for (std::size_t k = 0; k + 1 < in_sector; ++k, ++i)
            body += u32(i < count ? table_first + i : none);
        body += u32(list + 1 < lists ? lists_first + list + 1 : end);
    }
    std::string header("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1");
    header.resize(24);
    header += u16(0x3e) + u16(shift == 9 ? 3 : 4) + u16(0xfffe) + u16(shift) + u16(6);
    header.resize(44);
    header += u32(count) + u32(directory) + u32(0) + u32(4'096) + u32(small_table) +
              u32(small_next.empty() ? 0 : 1) + u32(lists > 0 ? lists_first : end) + u32(lists) +
              numbers;
    header.resize(size);
    return header + body;
}

/// A file with one workbook.
inline std::string file(const std::string& globals, const std::vector<sheet>& sheets) {
    return compound({{"Workbook", workbook(globals, sheets)}});
}

}  // namespace test::xls
