// Opens a stranger's SQLite database for reading, on a descriptor and without any rights.
#pragma once

#include <bitdotio/error.hpp>

#include "server/formats/input_file.hpp"

#include <memory>
#include <string>

struct sqlite3;
struct sqlite3_stmt;

namespace bitdotio {

struct close_sqlite {
    void operator()(sqlite3* database) const;
};
struct finish_sqlite {
    void operator()(sqlite3_stmt* statement) const;
};
using sqlite_database = std::unique_ptr<sqlite3, close_sqlite>;
using sqlite_statement = std::unique_ptr<sqlite3_stmt, finish_sqlite>;

/// Opens the database. Its schema can call no function, and reach nothing but its tables.
///
/// Errors: errc::bad_input.
/// Lifetime: `file` must outlive the database.
sqlite_database open_database(const input_handle& file);

/// Errors: errc::bad_input.
sqlite_statement compile(sqlite3* database, const std::string& sql);

/// What SQLite says of its last failure.
error unreadable(sqlite3* database);

}  // namespace bitdotio
