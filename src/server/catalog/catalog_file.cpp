// Writes rows to SQLite and reads them back.
#include "server/catalog/catalog_file.hpp"

#include <bitdotio/error.hpp>

#include "service/api_codec.hpp"

#include <sqlite3.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace bitdotio {

namespace {

// One step from each form of the file to the next. Append only: released steps are never edited.
constexpr std::array migrations = {
    // 1: accounts, keys, databases, their former names, what was queried.
    R"sql(
        CREATE TABLE accounts (
            id TEXT PRIMARY KEY,
            owner TEXT REFERENCES accounts ON DELETE CASCADE,
            name TEXT NOT NULL,
            role TEXT NOT NULL,
            created INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE api_keys (
            id TEXT PRIMARY KEY,
            account TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
            salt TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            created INTEGER NOT NULL,
            revoked INTEGER
        ) STRICT;
        CREATE TABLE databases (
            id TEXT PRIMARY KEY,
            owner TEXT NOT NULL REFERENCES accounts,
            name TEXT NOT NULL UNIQUE,
            created INTEGER NOT NULL,
            is_private INTEGER NOT NULL,
            storage_limit INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE grants (
            account TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
            database TEXT NOT NULL REFERENCES databases ON DELETE CASCADE,
            role TEXT NOT NULL,
            PRIMARY KEY (account, database)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE former_names (
            name TEXT PRIMARY KEY,
            database TEXT,
            until INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE rows_queried (
            database TEXT NOT NULL REFERENCES databases ON DELETE CASCADE,
            month INTEGER NOT NULL,  -- the first day, counted from 1970-01-01
            count INTEGER NOT NULL,
            PRIMARY KEY (database, month)
        ) STRICT, WITHOUT ROWID;
    )sql",
    // 2: what proves keys by SCRAM.
    R"sql(
        ALTER TABLE api_keys ADD COLUMN scram TEXT NOT NULL DEFAULT '';
    )sql",
};

std::string text_of(role value) {
    return std::string(api::role_name(value));
}

role role_of(std::string_view text) {
    return api::role_named(text).value_or(role::reader);
}

std::int64_t number_of(catalog_time when) {
    return when.time_since_epoch().count();
}

catalog_time time_of(std::int64_t number) {
    return catalog_time(std::chrono::microseconds(number));
}

std::int64_t number_of(std::chrono::sys_days day) {
    return day.time_since_epoch().count();
}

}  // namespace

class catalog_file::impl {
public:
    explicit impl(std::filesystem::path file) : file_(std::move(file)) {
        // Made by us, so that nobody else can ever read it; its log has the same mode.
        const int made =
            ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
        if (made < 0) {
            throw error(errc::system_failed,
                        "cannot open " + file_.string() + ": " + std::strerror(errno));
        }
        ::close(made);
        const int done = sqlite3_open_v2(file_.c_str(), &database_,
                                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, nullptr);
        try {
            check(done);
            check(sqlite3_busy_timeout(database_, 5'000));  // during a backup
            execute(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
                "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF");
            migrate();
        } catch (...) {
            sqlite3_close(database_);
            throw;
        }
    }
    impl(const impl&) = delete;
    ~impl() { sqlite3_close(database_); }

    // One statement, its parameters bound in order.
    class query {
    public:
        template <class... Values>
        query(impl& in, std::string_view sql, const Values&... values) : in_(in) {
            in_.check(sqlite3_prepare_v2(in_.database_, sql.data(), static_cast<int>(sql.size()),
                                         &statement_, nullptr));
            int place = 0;
            (bind(++place, values), ...);
        }
        query(const query&) = delete;
        ~query() { sqlite3_finalize(statement_); }

        // False at the end.
        bool step() {
            const int done = sqlite3_step(statement_);
            if (done != SQLITE_ROW && done != SQLITE_DONE) in_.check(done);
            return done == SQLITE_ROW;
        }
        std::string text(int column) const {
            const void* octets = sqlite3_column_text(statement_, column);
            const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
            return octets ? std::string(static_cast<const char*>(octets), size) : std::string();
        }
        std::int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }
        bool is_null(int column) const {
            return sqlite3_column_type(statement_, column) == SQLITE_NULL;
        }

    private:
        void bind(int place, const std::string& value) {
            in_.check(sqlite3_bind_text(statement_, place, value.data(),
                                        static_cast<int>(value.size()), SQLITE_TRANSIENT));
        }
        void bind(int place, std::int64_t value) {
            in_.check(sqlite3_bind_int64(statement_, place, value));
        }
        template <class T>
        void bind(int place, const std::optional<T>& value) {
            if (value) bind(place, *value);  // an unbound parameter is NULL
        }

        impl& in_;
        sqlite3_stmt* statement_ = nullptr;
    };

    template <class... Values>
    void run(std::string_view sql, const Values&... values) {
        query(*this, sql, values...).step();
    }

    void execute(const char* script) {
        check(sqlite3_exec(database_, script, nullptr, nullptr, nullptr));
    }

    template <class Work>
    void transact(Work work) {
        execute("BEGIN IMMEDIATE");
        try {
            work();
            execute("COMMIT");
        } catch (...) {
            sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
            throw;
        }
    }

private:
    void check(int done) const {
        if (done != SQLITE_OK) {
            // SQLite's messages name tables and files, never the values of rows.
            throw error(errc::system_failed,
                        file_.string() + ": " +
                            (database_ ? sqlite3_errmsg(database_) : sqlite3_errstr(done)));
        }
    }

    void migrate() {
        query sound(*this, "PRAGMA quick_check(1)");
        if (sound.step() && sound.text(0) != "ok") {
            throw error(errc::system_failed, file_.string() + " is damaged: " + sound.text(0) +
                                                 "; put the last backup in its place");
        }
        execute(
            "CREATE TABLE IF NOT EXISTS migrations ("
            "version INTEGER PRIMARY KEY, applied INTEGER NOT NULL) STRICT");
        query last(*this, "SELECT coalesce(max(version), 0) FROM migrations");
        last.step();
        const auto version = static_cast<std::size_t>(last.number(0));
        if (version > migrations.size()) {
            throw error(errc::system_failed,
                        file_.string() +
                            " was written by a newer version of this server: it has "
                            "form " +
                            std::to_string(version) + ", this one knows " +
                            std::to_string(migrations.size()));
        }
        for (std::size_t next = version; next < migrations.size(); ++next) {
            transact([&] {
                execute(migrations[next]);
                run("INSERT INTO migrations VALUES (?, unixepoch())",
                    static_cast<std::int64_t>(next + 1));
            });
        }
    }

    const std::filesystem::path file_;
    sqlite3* database_ = nullptr;
};

namespace {

// Writes one change per call.
template <class Impl>
struct writer {
    Impl& to;

    void operator()(const account_row& row) {
        to.run(
            "INSERT INTO accounts VALUES (?, nullif(?, ''), ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "name = excluded.name, role = excluded.role",
            row.id, row.owner, row.name, text_of(row.role), number_of(row.created));
    }
    void operator()(const key_row& row) {
        std::optional<std::int64_t> revoked;
        if (row.revoked) revoked = number_of(*row.revoked);
        to.run(
            "INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "sha256 = excluded.sha256, revoked = excluded.revoked, scram = excluded.scram",
            row.id, row.account, row.salt, row.digest, number_of(row.created), revoked,
            row.verifier);
    }
    void operator()(const database_row& row) {
        to.run(
            "INSERT INTO databases VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "name = excluded.name, is_private = excluded.is_private, "
            "storage_limit = excluded.storage_limit",
            row.id, row.owner, row.name.full(), number_of(row.created),
            static_cast<std::int64_t>(row.is_private), row.storage_limit);
    }
    void operator()(const grant_row& row) {
        to.run("INSERT INTO grants VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET role = excluded.role",
               row.account, row.database, text_of(row.role));
    }
    void operator()(const former_name_row& row) {
        to.run(
            "INSERT INTO former_names VALUES (?, nullif(?, ''), ?) ON CONFLICT DO UPDATE SET "
            "database = excluded.database, until = excluded.until",
            row.name, row.database, number_of(row.until));
    }
    void operator()(const account_removal& row) {
        to.run("DELETE FROM accounts WHERE id = ?", row.id);
    }
    void operator()(const database_removal& row) {
        to.run("DELETE FROM databases WHERE id = ?", row.id);
    }
    void operator()(const grant_removal& row) {
        to.run("DELETE FROM grants WHERE account = ? AND database = ?", row.account, row.database);
    }
    void operator()(const former_name_removal& row) {
        to.run("DELETE FROM former_names WHERE name = ?", row.name);
    }
    void operator()(const usage_change& row) {
        // Does nothing for a database that has been removed meanwhile: nobody will ask.
        to.run(
            "INSERT INTO rows_queried SELECT id, ?2, ?3 FROM databases WHERE id = ?1 "
            "ON CONFLICT DO UPDATE SET count = excluded.count",
            row.period.first, number_of(row.period.second), row.rows);
    }
};

}  // namespace

catalog_file::catalog_file(std::filesystem::path file)
    : impl_(std::make_unique<impl>(std::move(file))) {}

catalog_file::catalog_file(catalog_file&&) noexcept = default;
catalog_file::~catalog_file() = default;

catalog_rows catalog_file::load() {
    using query = impl::query;
    catalog_rows known;
    for (query all(*impl_, "SELECT id, owner, name, role, created FROM accounts"); all.step();) {
        account_row row;
        row.id = all.text(0);
        row.owner = all.text(1);
        row.name = all.text(2);
        row.role = role_of(all.text(3));
        row.created = time_of(all.number(4));
        known.accounts[row.id] = row;
    }
    for (query all(*impl_,
                   "SELECT id, account, salt, sha256, created, revoked, scram FROM api_keys");
         all.step();) {
        key_row row;
        row.id = all.text(0);
        row.account = all.text(1);
        row.salt = all.text(2);
        row.digest = all.text(3);
        row.created = time_of(all.number(4));
        if (!all.is_null(5)) row.revoked = time_of(all.number(5));
        row.verifier = all.text(6);
        known.keys[row.id] = row;
    }
    for (query all(*impl_,
                   "SELECT id, owner, name, created, is_private, storage_limit FROM databases");
         all.step();) {
        database_row row;
        row.id = all.text(0);
        row.owner = all.text(1);
        row.name = database_name(all.text(2));
        row.created = time_of(all.number(3));
        row.is_private = all.number(4) != 0;
        row.storage_limit = all.number(5);
        known.databases[row.id] = row;
    }
    for (query all(*impl_, "SELECT account, database, role FROM grants"); all.step();) {
        grant_row row;
        row.account = all.text(0);
        row.database = all.text(1);
        row.role = role_of(all.text(2));
        known.grants[{row.account, row.database}] = row;
    }
    for (query all(*impl_, "SELECT name, database, until FROM former_names"); all.step();) {
        former_name_row row;
        row.name = all.text(0);
        row.database = all.text(1);
        row.until = time_of(all.number(2));
        known.former_names[row.name] = row;
    }
    for (query all(*impl_, "SELECT database, month, count FROM rows_queried"); all.step();) {
        const std::chrono::sys_days month{std::chrono::days(all.number(1))};
        known.rows_queried[{all.text(0), month}] = all.number(2);
    }
    return known;
}

void catalog_file::apply(const catalog_changes& changes) {
    if (changes.empty()) return;
    impl_->transact([&] {
        for (const state_change& change : changes) {
            std::visit(writer<impl>{*impl_}, change);
        }
    });
}

}  // namespace bitdotio
