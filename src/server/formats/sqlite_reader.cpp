// Reads the tables of a SQLite database, which is never written nor trusted.
#include "server/formats/table_reader.hpp"
#include "server/formats/utf8.hpp"

#include <bitdotio/error.hpp>

#include <sqlite3.h>

#include <array>
#include <charconv>
#include <cmath>
#include <memory>
#include <utility>

namespace bitdotio {

namespace {

constexpr int longest_value = 64 * 1024 * 1024;

struct close_database {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};
using database_handle = std::unique_ptr<sqlite3, close_database>;
struct finish_statement {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using statement_handle = std::unique_ptr<sqlite3_stmt, finish_statement>;

error unreadable(sqlite3* database) {
    return error(errc::bad_input,
                 std::string("the SQLite file cannot be read: ") + sqlite3_errmsg(database));
}

database_handle open(const std::filesystem::path& file) {
    sqlite3* opened = nullptr;
    // Immutable: an uploaded file has no journal beside it, and gets none.
    std::string address = "file:";
    for (const char c : file.string()) {
        address += c == '%' ? "%25" : c == '?' ? "%3f" : c == '#' ? "%23" : std::string(1, c);
    }
    address += "?mode=ro&immutable=1";
    const int result =
        sqlite3_open_v2(address.c_str(), &opened, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, nullptr);
    database_handle database(opened);
    if (result != SQLITE_OK) throw unreadable(opened);
    // The schema is a stranger's: it must not call functions nor reach more than its file.
    sqlite3_db_config(opened, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    sqlite3_db_config(opened, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(opened, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, nullptr);
    sqlite3_limit(opened, SQLITE_LIMIT_LENGTH, longest_value);
    sqlite3_limit(opened, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_exec(opened, "PRAGMA cell_size_check = ON", nullptr, nullptr, nullptr);
    return database;
}

statement_handle compile(sqlite3* database, const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(database, sql.c_str(), static_cast<int>(sql.size()), &statement,
                           nullptr) != SQLITE_OK) {
        throw unreadable(database);
    }
    return statement_handle(statement);
}

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

class sqlite_reader final : public table_reader {
public:
    sqlite_reader(const std::filesystem::path& file, std::string table)
        : table_(std::move(table)),
          database_(open(file)),
          rows_(compile(database_.get(), "SELECT * FROM " + quoted(table_))) {
        for (int i = 0; i < sqlite3_column_count(rows_.get()); ++i) {
            names_.emplace_back(sqlite3_column_name(rows_.get(), i));
        }
    }

    bool next(cells& row) override {
        const int result = sqlite3_step(rows_.get());
        if (result == SQLITE_DONE) return false;
        if (result != SQLITE_ROW) throw unreadable(database_.get());
        ++count_;
        row.resize(names_.size());
        for (std::size_t i = 0; i < names_.size(); ++i)
            take(row[i], static_cast<int>(i));
        return true;
    }

    const std::vector<std::string>& names() const override { return names_; }
    std::string place() const override {
        return "row " + std::to_string(count_) + " of table \"" + table_ + "\"";
    }

private:
    // Each value has its own type, whatever the column says.
    void take(cell& into, int column) {
        into.clear();
        switch (sqlite3_column_type(rows_.get(), column)) {
            case SQLITE_INTEGER:
                into.set(cell_kind::number,
                         std::to_string(sqlite3_column_int64(rows_.get(), column)));
                break;
            case SQLITE_FLOAT: take_double(into, sqlite3_column_double(rows_.get(), column)); break;
            case SQLITE_TEXT:
                into.set(cell_kind::text, text_of(rows_.get(), column));
                if (!is_text(into.text)) {
                    throw error(errc::bad_input, place() +
                                                     " has a text that is not UTF-8, or "
                                                     "with a zero byte");
                }
                break;
            case SQLITE_BLOB: take_blob(into, column); break;
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
    void take_blob(cell& into, int column) {
        constexpr char digits[] = "0123456789abcdef";
        const auto* bytes =
            static_cast<const unsigned char*>(sqlite3_column_blob(rows_.get(), column));
        const int size = sqlite3_column_bytes(rows_.get(), column);
        into.set(cell_kind::literal, "\\x");
        for (int i = 0; i < size; ++i)
            into.text += {digits[bytes[i] >> 4], digits[bytes[i] & 15]};
    }

    const std::string table_;
    database_handle database_;
    statement_handle rows_;
    std::vector<std::string> names_;
    std::uint64_t count_ = 0;
};

}  // namespace

std::vector<table_source> open_sqlite(std::filesystem::path file) {
    const database_handle database = open(file);
    // No views, whose queries are a stranger's, and no virtual tables.
    const statement_handle names =
        compile(database.get(),
                "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' "
                "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name");
    std::vector<table_source> tables;
    int result = sqlite3_step(names.get());
    for (; result == SQLITE_ROW; result = sqlite3_step(names.get())) {
        table_source table;
        table.name = text_of(names.get(), 0);
        table.open = [file, name = table.name] {
            return std::make_unique<sqlite_reader>(file, name);
        };
        tables.push_back(std::move(table));
    }
    if (result != SQLITE_DONE) throw unreadable(database.get());
    if (tables.empty()) throw error(errc::bad_input, "the SQLite file has no tables");
    return tables;
}

}  // namespace bitdotio
