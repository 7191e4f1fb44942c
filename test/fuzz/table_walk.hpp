// Reads all tables of a file, and holds each value to what imports rely on.
#pragma once

#include "fuzz.hpp"

#include "server/formats/column_types.hpp"
#include "server/formats/row_writer.hpp"
#include "server/formats/table_reader.hpp"
#include "server/formats/utf8.hpp"

#include <cstddef>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace fuzz {

/// A file as the readers take it: by its path, or open.
struct input_of {
    std::filesystem::path file;

    operator const std::filesystem::path&() const { return file; }
    template <class Open>
    operator std::shared_ptr<Open>() const {
        return std::make_shared<Open>(file);
    }
};

/// Compares the rows that COPY's text gives with those it was made of.
class same_rows final : public bitdotio::row_writer {
public:
    explicit same_rows(const bitdotio::cells& row) : row_(row) {}

    void write(const bitdotio::export_row& copied) override {
        require(copied.size() == row_.size(), "COPY keeps the number of values");
        for (std::size_t i = 0; i < row_.size(); ++i) {
            const bool null = row_[i].kind == bitdotio::cell_kind::null;
            require(null ? !copied[i] : copied[i] == row_[i].text, "COPY keeps a value");
        }
        ++count_;
    }
    void finish() override { require(count_ == 1, "a row stays one row"); }

private:
    const bitdotio::cells& row_;
    std::size_t count_ = 0;
};

inline void walk_row(const bitdotio::cells& row, std::vector<bitdotio::column_type>& types) {
    using namespace bitdotio;
    require(row.size() <= most_columns, "a row has no more columns than a table may have");
    if (types.size() < row.size()) types.resize(row.size(), column_type::unknown);
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
        require(is_text(row[i].text), "a value is UTF-8 without zero bytes");
        const column_type type = type_of(row[i]);
        require(wider(type, types[i]) == wider(types[i], type), "types widen both ways alike");
        types[i] = wider(types[i], type);
        require(wider(type, types[i]) == types[i], "a column's type holds each of its values");
        line += i > 0 ? "\t" : "";
        append_copy_text(line, row[i], column_type::text);
    }
    if (row.empty()) return;
    line += "\n";
    same_rows copied(row);
    write_copy_rows(line, row.size(), copied);
    copied.finish();
}

/// Files of some formats can repeat a page for ever: reading ends after so many rows.
inline constexpr int most_rows = 2'000;

inline void walk_tables(const std::vector<bitdotio::table_source>& tables) {
    using namespace bitdotio;
    require(!tables.empty(), "a file has a table");
    int left = most_rows;
    for (const table_source& table : tables) {
        const auto reader = table.open();
        cells row;
        std::vector<column_type> types;
        for (; left > 0 && reader->next(row); --left) {
            walk_row(row, types);
            require(!reader->place().empty(), "a row has a place");
        }
        const auto names = usable_names(reader->names(), types.size());
        std::set<std::string> seen;
        for (const std::string& name : names) {
            require(!name.empty() && name.size() <= 63, "a column's name has 1 to 63 bytes");
            require(seen.insert(name).second, "columns have different names");
        }
    }
}

}  // namespace fuzz
