// A file system for SQLite that has one file, which is open already and only read.
#include "server/formats/sqlite_file.hpp"
#include "server/formats/import_limits.hpp"

#include <sqlite3.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace bitdotio {

namespace {

constexpr const char* system_name = "bitdotio-import";

/// What SQLite knows as an open file.
struct open_file : sqlite3_file {
    const input_file* from;
};

const input_file& from(sqlite3_file* file) {
    return *static_cast<open_file*>(file)->from;
}

int read_file(sqlite3_file* file, void* into, int size, sqlite3_int64 offset) noexcept {
    try {
        const auto most = static_cast<std::size_t>(size);
        auto* const bytes = static_cast<char*>(into);
        const std::size_t got = from(file).read_at(static_cast<std::uint64_t>(offset), bytes, most);
        if (got == most) return SQLITE_OK;
        std::memset(bytes + got, 0, most - got);
        return SQLITE_IOERR_SHORT_READ;
    } catch (const error&) {
        return SQLITE_IOERR_READ;
    }
}

const sqlite3_io_methods* methods() {
    static const sqlite3_io_methods table = [] {
        sqlite3_io_methods made{};
        made.iVersion = 1;
        made.xClose = [](sqlite3_file*) { return SQLITE_OK; };
        made.xRead = read_file;
        made.xWrite = [](sqlite3_file*, const void*, int, sqlite3_int64) {
            return SQLITE_READONLY;
        };
        made.xTruncate = [](sqlite3_file*, sqlite3_int64) { return SQLITE_READONLY; };
        made.xSync = [](sqlite3_file*, int) { return SQLITE_OK; };
        made.xFileSize = [](sqlite3_file* file, sqlite3_int64* size) {
            *size = static_cast<sqlite3_int64>(from(file).size());
            return SQLITE_OK;
        };
        made.xLock = [](sqlite3_file*, int) { return SQLITE_OK; };
        made.xUnlock = made.xLock;
        made.xCheckReservedLock = [](sqlite3_file*, int* held) {
            *held = 0;
            return SQLITE_OK;
        };
        made.xFileControl = [](sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; };
        made.xSectorSize = [](sqlite3_file*) { return 0; };
        // Nothing is beside an uploaded file: no journal, and no log of a write ahead.
        made.xDeviceCharacteristics = [](sqlite3_file*) { return SQLITE_IOCAP_IMMUTABLE; };
        return made;
    }();
    return &table;
}

// The database is known by the address of its input_file, in hexadecimal digits.
int open_by_name(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* given) {
    file->pMethods = nullptr;
    if (!name || (flags & SQLITE_OPEN_MAIN_DB) == 0) return SQLITE_CANTOPEN;  // temporary files
    const char* const address = sqlite3_uri_parameter(name, "file");
    if (!address) return SQLITE_CANTOPEN;
    static_cast<open_file*>(file)->from = reinterpret_cast<const input_file*>(
        static_cast<std::uintptr_t>(std::stoull(address, nullptr, 16)));
    file->pMethods = methods();
    if (given) *given = SQLITE_OPEN_READONLY | SQLITE_OPEN_MAIN_DB;
    return SQLITE_OK;
}

int register_system() {
    static sqlite3_vfs system{};
    system.iVersion = 1;
    system.szOsFile = sizeof(open_file);
    system.mxPathname = 64;
    system.zName = system_name;
    system.xOpen = open_by_name;
    system.xDelete = [](sqlite3_vfs*, const char*, int) { return SQLITE_READONLY; };
    system.xAccess = [](sqlite3_vfs*, const char*, int, int* there) {
        *there = 0;
        return SQLITE_OK;
    };
    system.xFullPathname = [](sqlite3_vfs*, const char* name, int size, char* into) {
        sqlite3_snprintf(size, into, "%s", name);
        return SQLITE_OK;
    };
    system.xRandomness = [](sqlite3_vfs*, int size, char* into) {
        std::memset(into, 0, static_cast<std::size_t>(size));  // nothing is written
        return size;
    };
    system.xSleep = [](sqlite3_vfs*, int) { return 0; };
    system.xCurrentTime = [](sqlite3_vfs*, double* now) {
        *now = 0;
        return SQLITE_OK;
    };
    system.xGetLastError = [](sqlite3_vfs*, int, char*) { return 0; };
    return sqlite3_vfs_register(&system, 0);
}

// A query of ours reads tables, and asks for their columns.
int may_do(void*, int what, const char* detail, const char*, const char*, const char*) {
    if (what == SQLITE_SELECT || what == SQLITE_READ) return SQLITE_OK;
    const bool columns =
        what == SQLITE_PRAGMA && detail && std::string_view(detail) == "table_xinfo";
    return columns ? SQLITE_OK : SQLITE_DENY;
}

void limit(sqlite3* database) {
    constexpr std::pair<int, int> limits[] = {
        {SQLITE_LIMIT_LENGTH, static_cast<int>(longest_row)},
        {SQLITE_LIMIT_SQL_LENGTH, 1'000'000},
        {SQLITE_LIMIT_EXPR_DEPTH, 100},
        {SQLITE_LIMIT_COMPOUND_SELECT, 1},
        {SQLITE_LIMIT_VDBE_OP, 100'000},
        {SQLITE_LIMIT_FUNCTION_ARG, 8},
        {SQLITE_LIMIT_ATTACHED, 0},
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100},
        {SQLITE_LIMIT_TRIGGER_DEPTH, 1},
        {SQLITE_LIMIT_WORKER_THREADS, 0},
    };
    for (const auto& [which, most] : limits)
        sqlite3_limit(database, which, most);
    // The schema is a stranger's: it must not call functions nor reach more than its file.
    sqlite3_db_config(database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    sqlite3_db_config(database, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(database, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, nullptr);
    sqlite3_db_config(database, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    sqlite3_db_config(database, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
    sqlite3_exec(database, "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY", nullptr,
                 nullptr, nullptr);
    sqlite3_set_authorizer(database, may_do, nullptr);
}

}  // namespace

void close_sqlite::operator()(sqlite3* database) const {
    sqlite3_close_v2(database);
}

void finish_sqlite::operator()(sqlite3_stmt* statement) const {
    sqlite3_finalize(statement);
}

error unreadable(sqlite3* database) {
    return error(errc::bad_input,
                 std::string("the SQLite file cannot be read: ") + sqlite3_errmsg(database));
}

sqlite_database open_database(const input_handle& file) {
    static const int registered = register_system();
    if (registered != SQLITE_OK) throw std::bad_alloc();
    char name[64];
    sqlite3_snprintf(sizeof name, name, "file:import?file=%llx",
                     static_cast<unsigned long long>(reinterpret_cast<std::uintptr_t>(file.get())));
    sqlite3* opened = nullptr;
    const int result =
        sqlite3_open_v2(name, &opened, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, system_name);
    sqlite_database database(opened);
    if (result != SQLITE_OK) throw unreadable(opened);
    limit(opened);
    return database;
}

sqlite_statement compile(sqlite3* database, const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(database, sql.c_str(), static_cast<int>(sql.size()), &statement,
                           nullptr) != SQLITE_OK) {
        throw unreadable(database);
    }
    return sqlite_statement(statement);
}

}  // namespace bitdotio
