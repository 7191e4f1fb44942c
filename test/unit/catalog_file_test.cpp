// The catalog file: every row written and read back, whatever happens in between.
#include "server/catalog/catalog_file.hpp"

#include <bitdotio/error.hpp>

#include "support/child.hpp"

#include <doctest/doctest.h>

#include <sqlite3.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <variant>

namespace {

using namespace bitdotio;

constexpr catalog_time noon{std::chrono::microseconds(1'700'000'000'123'456)};

// Contains one of every row, so that a forgotten member shows.
catalog_rows sample() {
    catalog_rows all;
    account_row user;
    user.id = "user-1";
    user.name = "adam";
    user.role = role::owner;
    user.created = noon;
    account_row robot;
    robot.id = "robot-1";
    robot.owner = "user-1";
    robot.name = "the \"robot\" \xC3\xA9";
    robot.role = role::writer;
    robot.created = noon + std::chrono::seconds(1);
    all.accounts = {{"user-1", user}, {"robot-1", robot}};
    key_row key;
    key.id = "key-1";
    key.account = "robot-1";
    key.salt = "5a17";
    key.digest = "d19e57";
    key.verifier = "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA";
    key.created = noon;
    key_row revoked = key;
    revoked.id = "key-2";
    revoked.digest.clear();
    revoked.verifier.clear();
    revoked.revoked = noon;
    all.keys = {{"key-1", key}, {"key-2", revoked}};
    database_row database;
    database.id = "id-1";
    database.owner = "user-1";
    database.name = "adam/quo'te";
    database.created = noon;
    database.is_private = false;
    database.storage_limit = 12'000'000'000;
    all.databases = {{"id-1", database}};
    grant_row grant;
    grant.account = "robot-1";
    grant.database = "id-1";
    grant.role = role::admin;
    all.grants[{"robot-1", "id-1"}] = grant;
    former_name_row former;
    former.name = "adam/before";
    former.database = "id-1";
    former.until = noon;
    former_name_row deleted;
    deleted.name = "adam/deleted";
    deleted.until = noon;
    all.former_names = {{former.name, former}, {deleted.name, deleted}};
    const std::chrono::sys_days month = std::chrono::year(2024) / 5 / 1;
    all.rows_queried[{"id-1", month}] = 5'000'000'000;
    return all;
}

catalog_changes rows_of(const catalog_rows& all) {
    catalog_changes changes{all.accounts.at("user-1"), all.accounts.at("robot-1")};
    for (const auto& [id, row] : all.keys)
        changes.push_back(row);
    for (const auto& [id, row] : all.databases)
        changes.push_back(row);
    for (const auto& [id, row] : all.grants)
        changes.push_back(row);
    for (const auto& [id, row] : all.former_names)
        changes.push_back(row);
    for (const auto& [period, rows] : all.rows_queried) {
        changes.push_back(usage_change{period, rows});
    }
    return changes;
}

void run_sql(const std::filesystem::path& file, const char* sql) {
    sqlite3* opened = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &opened) == SQLITE_OK);
    CHECK(sqlite3_exec(opened, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(opened);
}

std::string refusal(const std::filesystem::path& file) {
    try {
        catalog_file opened(file);
    } catch (const error& failure) {
        CHECK(failure.code() == errc::system_failed);
        return failure.what();
    }
    return "opened";
}

}  // namespace

TEST_CASE("every row is read back as it was written, and again after it changed") {
    const test::temporary_directory directory;
    catalog_rows all = sample();
    {
        catalog_file first(directory / "state.sqlite");
        CHECK(first.load() == catalog_rows());
        first.apply(rows_of(all));
        CHECK(first.load() == all);
    }
    catalog_file again(directory / "state.sqlite");
    CHECK(again.load() == all);
    all.accounts.at("robot-1").role = role::reader;
    all.keys.at("key-1").revoked = noon;
    all.databases.at("id-1").name = "adam/after";
    all.databases.at("id-1").is_private = true;
    all.databases.at("id-1").storage_limit = 0;
    all.grants.begin()->second.role = role::reader;
    all.former_names.at("adam/before").database = "";
    all.rows_queried.begin()->second += 1;
    again.apply(rows_of(all));
    CHECK(again.load() == all);
}

TEST_CASE("what belonged to an account or a database goes with it") {
    const test::temporary_directory directory;
    catalog_file kept(directory / "state.sqlite");
    kept.apply(rows_of(sample()));
    kept.apply({grant_removal{"robot-1", "id-1"}, former_name_removal{"adam/deleted"}});
    CHECK(kept.load().grants.empty());
    CHECK(kept.load().former_names.size() == 1);
    kept.apply({account_removal{"robot-1"}});
    CHECK(kept.load().keys.empty());
    CHECK(kept.load().accounts.size() == 1);
    kept.apply({database_removal{"id-1"}});
    CHECK(kept.load().databases.empty());
    CHECK(kept.load().rows_queried.empty());
    // Counted rows of a removed database are dropped.
    const std::chrono::sys_days month = std::chrono::year(2024) / 5 / 1;
    CHECK_NOTHROW(kept.apply({usage_change{{"id-1", month}, 1}}));
    CHECK(kept.load().rows_queried.empty());
}

TEST_CASE("changes are made together or not at all") {
    const test::temporary_directory directory;
    catalog_file kept(directory / "state.sqlite");
    key_row orphan;
    orphan.id = "key-9";
    orphan.account = "nobody";
    account_row user;
    user.id = "user-9";
    user.name = "eve";
    CHECK_THROWS_AS(kept.apply({user, orphan}), error);
    CHECK(kept.load() == catalog_rows());
    CHECK_NOTHROW(kept.apply({user}));
}

TEST_CASE("a file of a newer server and a damaged one are refused by name") {
    const test::temporary_directory directory;
    const std::filesystem::path file = directory / "state.sqlite";
    { catalog_file made(file); }
    run_sql(file, "INSERT INTO migrations VALUES (1000, 0)");
    const std::string newer = refusal(file);
    CHECK(newer.find("a newer version of this server") != std::string::npos);
    CHECK(newer.find(file.string()) != std::string::npos);
    run_sql(file, "DELETE FROM migrations WHERE version = 1000");
    CHECK(refusal(file) == "opened");
    run_sql(file,
            "PRAGMA writable_schema = ON; "
            "UPDATE sqlite_schema SET rootpage = 1000 WHERE name = 'accounts'");
    CHECK(refusal(file).find(file.string()) != std::string::npos);
}

TEST_CASE("keys of the first form of the file are known, without what proves them by SCRAM") {
    const test::temporary_directory directory;
    const std::filesystem::path file = directory / "state.sqlite";
    catalog_rows all = sample();
    catalog_file(file).apply(rows_of(all));
    run_sql(file,
            "ALTER TABLE api_keys DROP COLUMN scram; DELETE FROM migrations WHERE version = 2");
    for (auto& [id, row] : all.keys) {
        row.verifier.clear();
    }
    CHECK(catalog_file(file).load() == all);
}

TEST_CASE("what was acknowledged survives a process that is killed in the middle of writing") {
    const test::temporary_directory directory;
    const std::filesystem::path file = directory / "state.sqlite";
    int pipe[2];
    REQUIRE(::pipe(pipe) == 0);
    const pid_t writer = ::fork();
    REQUIRE(writer >= 0);
    if (writer == 0) {
        ::close(pipe[0]);
        catalog_file kept(file);
        for (int i = 0;; ++i) {
            account_row row;
            row.id = std::to_string(i);
            row.name = "n" + row.id;
            kept.apply({row});
            if (::write(pipe[1], "x", 1) != 1) ::_exit(1);
        }
    }
    ::close(pipe[1]);
    std::size_t acknowledged = 0;
    char octet = 0;
    while (acknowledged < 200 && ::read(pipe[0], &octet, 1) == 1) {
        ++acknowledged;
    }
    ::kill(writer, SIGKILL);
    while (::read(pipe[0], &octet, 1) == 1) {  // what it wrote before it died
        ++acknowledged;
    }
    ::close(pipe[0]);
    int status = 0;
    REQUIRE(::waitpid(writer, &status, 0) == writer);
    CHECK(WIFSIGNALED(status));

    catalog_file again(file);
    const catalog_rows all = again.load();
    CHECK(acknowledged >= 200);
    CHECK(all.accounts.size() >= acknowledged);
    CHECK(all.accounts.size() <= acknowledged + 1);  // one may not have been acknowledged
}
