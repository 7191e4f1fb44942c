// Reads the tables of a SQLite database, which is never written nor trusted.
#include "server/formats/column_types.hpp"
#include "server/formats/sqlite_file.hpp"
#include "server/formats/table_reader.hpp"
#include "server/formats/utf8.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <set>
#include <utility>

namespace bitdotio {

namespace {

std::string quoted(const std::string& name) {
    std::string text = "\"";
    for (const char c : name) {
        text.push_back(c);
        if (c == '"') text.push_back('"');
    }
    return text + "\"";
}

std::string_view text_of(sqlite3_stmt* statement, int column) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
    return text ? std::string_view(
                      text, static_cast<std::size_t>(sqlite3_column_bytes(statement, column)))
                : std::string_view();
}

// The columns that are kept in the table. Generated ones are expressions of a stranger, which can
// make gigabytes of a file of some kilobytes.
std::vector<std::string> kept_columns(sqlite3* database, const std::string& table) {
    const sqlite_statement found =
        compile(database, "PRAGMA main.table_xinfo(" + quoted(table) + ")");
    constexpr int name = 1;
    constexpr int hidden = 6;
    std::vector<std::string> names;
    int result = sqlite3_step(found.get());
    for (; result == SQLITE_ROW; result = sqlite3_step(found.get())) {
        if (sqlite3_column_int(found.get(), hidden) == 0) {
            names.emplace_back(text_of(found.get(), name));
        }
    }
    if (result != SQLITE_DONE) throw unreadable(database);
    if (names.size() > most_columns) {
        throw error(errc::bad_input, "the table \"" + cut_name(table, longest_name) +
                                         "\" has more than 1,600 columns");
    }
    if (names.empty()) {
        throw error(errc::bad_input, "the table \"" + cut_name(table, longest_name) +
                                         "\" has only generated columns, which are not read");
    }
    return names;
}

class sqlite_reader final : public table_reader {
public:
    sqlite_reader(input_handle file, std::string table)
        : table_(std::move(table)),
          file_(std::move(file)),
          database_(open_database(file_)),
          names_(kept_columns(database_.get(), table_)) {
        std::string sql = "SELECT ";
        for (const std::string& each : names_)
            sql += (&each == &names_.front() ? "" : ", ") + quoted(each);
        rows_ = compile(database_.get(), sql + " FROM main." + quoted(table_));
    }

    bool next(cells& row) override {
        const int result = sqlite3_step(rows_.get());
        if (result == SQLITE_DONE) return false;
        if (result != SQLITE_ROW) throw unreadable(database_.get());
        ++count_;
        row.resize(names_.size());
        const std::uint64_t before = read_;
        for (std::size_t i = 0; i < names_.size(); ++i) {
            row[i].clear();
            take(row[i], static_cast<int>(i), before);
        }
        check_count();
        return true;
    }

    const std::vector<std::string>& names() const override { return names_; }
    place_words words() const override {
        return {"row ", " of table \"" + cut_name(table_, longest_name) + "\""};
    }
    std::uint64_t number() const override { return count_; }

private:
    // Pages that refer to each other in a circle would give rows without end; and rows of NULLs
    // take next to nothing in the file. A row is a cell of four bytes, and two for its place.
    void check_count() const {
        if (count_ > file_->size() / smallest_sqlite_row) {
            throw error(errc::bad_input,
                        place() + " cannot be in this file, which is too small: it is damaged");
        }
        if (read_ > most_sqlite_text(file_->size())) {
            throw error(errc::bad_input, place() +
                                             " is one too many: the texts of the table have more "
                                             "than 1,000,000 bytes and 16 for each byte of the "
                                             "file");
        }
        if (count_ * names_.size() > most_sqlite_values(file_->size())) {
            throw error(errc::bad_input, place() +
                                             " is one too many: the table has more than 1,000,000 "
                                             "values and 16 for each byte of the file, nearly all "
                                             "of them NULL");
        }
    }

    // Each value has its own type, whatever the column says.
    void take(cell& into, int column, std::uint64_t before) {
        switch (sqlite3_column_type(rows_.get(), column)) {
            case SQLITE_INTEGER:
                into.set(cell_kind::number,
                         std::to_string(sqlite3_column_int64(rows_.get(), column)));
                break;
            case SQLITE_FLOAT: take_double(into, sqlite3_column_double(rows_.get(), column)); break;
            case SQLITE_TEXT: {
                const std::string_view text = text_of(rows_.get(), column);
                count_bytes(text.size(), text.size(), before);
                into.set(cell_kind::text, text);
                if (!is_text(into.text)) {
                    throw error(errc::bad_input, place() +
                                                     " has a text that is not UTF-8, or "
                                                     "with a zero byte");
                }
                break;
            }
            case SQLITE_BLOB: take_blob(into, column, before); break;
            default: break;
        }
    }

    static void take_double(cell& into, double value) {
        if (!std::isfinite(value)) {
            into.set(cell_kind::untyped, value > 0 ? "Infinity" : "-Infinity");
            return;
        }
        char text[32];
        const auto end = std::to_chars(text, text + sizeof text, value).ptr;
        into.set(cell_kind::number, std::string_view(text, end));
        // A whole number stays a double.
        if (into.text.find_first_of(".e") == std::string::npos) into.text += ".0";
    }

    // As PostgreSQL writes bytea, to which it can be cast.
    void take_blob(cell& into, int column, std::uint64_t before) {
        constexpr char digits[] = "0123456789abcdef";
        const auto* bytes =
            static_cast<const unsigned char*>(sqlite3_column_blob(rows_.get(), column));
        const auto size = static_cast<std::size_t>(sqlite3_column_bytes(rows_.get(), column));
        count_bytes(size, 2 * size, before);
        into.set(cell_kind::literal, "\\x");
        into.text.reserve(2 * size + 2);
        for (std::size_t i = 0; i < size; ++i) {
            into.text.push_back(digits[bytes[i] >> 4]);
            into.text.push_back(digits[bytes[i] & 15]);
        }
    }

    // Counts what a value has in the file and in the row.
    void count_bytes(std::size_t kept, std::size_t shown, std::uint64_t before) {
        read_ += kept;
        // Bytes become twice as many characters.
        if (read_ - before + (shown - kept) > longest_row) {
            throw error(errc::bad_input, place() + " has more than 64 MiB");
        }
    }

    const std::string table_;
    const input_handle file_;
    sqlite_database database_;
    std::vector<std::string> names_;
    sqlite_statement rows_;
    std::uint64_t count_ = 0;
    std::uint64_t read_ = 0;  ///< bytes of texts and blobs
};

// Whether a table belongs to a virtual one, which keeps its own data there.
bool is_shadow(const std::string& name, const std::set<std::string>& virtual_tables) {
    constexpr std::array ends = {"_data",     "_idx",    "_content", "_docsize", "_config", "_stat",
                                 "_segments", "_segdir", "_node",    "_rowid",   "_parent"};
    return std::any_of(ends.begin(), ends.end(), [&](std::string_view end) {
        return name.ends_with(end) &&
               virtual_tables.count(name.substr(0, name.size() - end.size())) > 0;
    });
}

}  // namespace

std::vector<table_source> open_sqlite(input_handle file) {
    const sqlite_database database = open_database(file);
    // No views, whose queries are a stranger's, and no virtual tables, which have no page. It is
    // not asked of pragma_table_list, because that one looks into the views.
    const sqlite_statement found =
        compile(database.get(),
                "SELECT name, rootpage FROM main.sqlite_schema WHERE type = 'table' ORDER BY name");
    std::vector<std::string> names;
    std::set<std::string> virtual_tables;
    int result = sqlite3_step(found.get());
    for (; result == SQLITE_ROW; result = sqlite3_step(found.get())) {
        std::string name(text_of(found.get(), 0));
        if (sqlite3_column_int64(found.get(), 1) <= 0) {
            virtual_tables.insert(std::move(name));
        } else if (!name.starts_with("sqlite_")) {
            names.push_back(std::move(name));
        }
        if (names.size() + virtual_tables.size() > most_tables) {
            throw error(errc::bad_input, "the SQLite file has more than 1,000 tables");
        }
    }
    if (result != SQLITE_DONE) throw unreadable(database.get());
    std::vector<table_source> tables;
    for (const std::string& name : names) {
        if (is_shadow(name, virtual_tables)) continue;
        if (!is_text(name)) throw error(errc::bad_input, "the name of a table is not UTF-8");
        table_source table;
        table.name = name;
        table.open = [file, name] { return std::make_unique<sqlite_reader>(file, name); };
        tables.push_back(std::move(table));
    }
    if (tables.empty()) throw error(errc::bad_input, "the SQLite file has no tables");
    return tables;
}

}  // namespace bitdotio
