// Names, owners and keys, and what is kept of them on disk.
#include <doctest/doctest.h>

#include <bitdotio/error.hpp>

#include "server/catalog.hpp"
#include "server/records.hpp"
#include "server/replace_file.hpp"
#include "support/child.hpp"
#include "support/run.hpp"

#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>

namespace {

using namespace bitdotio;
namespace fs = std::filesystem;

const records::time noon{std::chrono::microseconds(1'700'000'000'123'456)};

template <class Call>
errc code_of(Call&& call) {
    try {
        call();
    } catch (const error& failure) {
        return failure.code();
    }
    FAIL("nothing was thrown");
    return {};
}

asio::awaitable<std::shared_ptr<catalog>> open(fs::path directory, std::string user) {
    co_return co_await catalog::open(co_await asio::this_coro::executor, directory, user);
}

asio::awaitable<void> create_and_rename(fs::path directory, std::string& key) {
    const auto first = co_await open(directory, "adam");
    key = first->first_key().reveal();
    const std::string user = co_await first->user_of(first->first_key());
    CHECK(user == "adam");
    co_await first->create("id-1", "adam", "one", true, std::nullopt);
    co_await first->create("id-2", "adam", "two", false, 1'000);
    database_changes changes;
    changes.name = "zwei";
    co_await first->update("adam", "adam/two", changes);
    co_await first->remove("adam", "adam/one");
}

asio::awaitable<std::vector<database>> list_again(fs::path directory, std::string key) {
    const auto again = co_await open(directory, "adam");
    CHECK(again->first_key().reveal() == key);
    co_return co_await again->list("adam");
}

asio::awaitable<std::string> first_key_of(fs::path directory, std::string user) {
    const auto opened = co_await open(directory, user);
    const std::string whose = co_await opened->user_of(opened->first_key());
    CHECK(whose == user);
    co_return opened->first_key().reveal();
}

asio::awaitable<void> conflict(fs::path directory) {
    const auto opened = co_await open(directory, "adam");
    co_await opened->create("id-1", "adam", "one", true, std::nullopt);
    co_await opened->create("id-2", "adam", "one", true, std::nullopt);
}

asio::awaitable<void> revoked(fs::path directory) {
    const auto opened = co_await open(directory, "adam");
    const api_key second = co_await opened->add_key("adam");
    co_await opened->revoke_keys("adam", second);
    co_await opened->user_of(opened->first_key());
    co_await opened->user_of(second);
}

}  // namespace

TEST_CASE("a database is found by its owner, under its name, with what was set") {
    records all;
    const database made = all.create("id-1", "adam", "my-db", false, 5'000, noon);
    CHECK(made.name.full() == "adam/my-db");
    CHECK(made.date_created == noon);
    CHECK_FALSE(made.is_private);
    CHECK(made.storage_limit_bytes == 5'000);
    CHECK(all.find("adam", "adam/my-db") == made);
}

TEST_CASE("another user's database does not exist, in the same words as one that is nowhere") {
    records all;
    all.create("id-1", "adam", "my-db", true, std::nullopt, noon);
    const auto words = [&](const records& where) {
        try {
            where.find("eve", "adam/my-db");
        } catch (const error& failure) {
            CHECK(failure.code() == errc::not_found);
            return std::string(failure.what());
        }
        return std::string("found");
    };
    CHECK(words(all) == words(records()));
    CHECK(code_of([&] { all.remove("eve", "adam/my-db"); }) == errc::not_found);
    CHECK(code_of([&] { all.update("eve", "adam/my-db", {}); }) == errc::not_found);
    CHECK(all.list("eve").empty());
}

TEST_CASE("names that cannot be are refused") {
    records all;
    for (const char* name : {"", "123456789012345678901234", "a/b", "new\nline"}) {
        CAPTURE(name);
        CHECK(code_of([&] { all.create("id", "adam", name, true, std::nullopt, noon); }) ==
              errc::bad_input);
    }
    CHECK(code_of([&] { all.create("id", "-adam", "db", true, std::nullopt, noon); }) ==
          errc::bad_input);
    CHECK(code_of([&] { all.create("id", "adam", "db", true, -1, noon); }) == errc::bad_input);
    CHECK(all.list("adam").empty());
    CHECK_NOTHROW(all.create("id", "adam", "12345678901234567890123", true, 0, noon));
}

TEST_CASE("a name belongs to one database of a user, and to another user's as well") {
    records all;
    all.create("id-1", "adam", "db", true, std::nullopt, noon);
    CHECK(code_of([&] { all.create("id-2", "adam", "db", true, std::nullopt, noon); }) ==
          errc::conflict);
    CHECK_NOTHROW(all.create("id-3", "eve", "db", true, std::nullopt, noon));
    CHECK_NOTHROW(all.create("id-4", "adam", "DB", true, std::nullopt, noon));
}

TEST_CASE("an update changes what is set and leaves the rest") {
    records all;
    const database before = all.create("id-1", "adam", "one", true, 7, noon);
    CHECK(all.update("adam", "adam/one", {}) == before);

    database_changes changes;
    changes.name = "uno";
    const database renamed = all.update("adam", "adam/one", changes);
    CHECK(renamed.id == "id-1");
    CHECK(renamed.name.full() == "adam/uno");
    CHECK(renamed.is_private);
    CHECK(renamed.storage_limit_bytes == 7);
    CHECK(code_of([&] { all.find("adam", "adam/one"); }) == errc::not_found);

    database_changes others;
    others.visible = visibility::public_;
    others.storage_limit_bytes = 8;
    const database changed = all.update("adam", "adam/uno", others);
    CHECK_FALSE(changed.is_private);
    CHECK(changed.storage_limit_bytes == 8);
}

TEST_CASE("a rename to a taken name changes nothing, one to its own name is fine") {
    records all;
    all.create("id-1", "adam", "one", true, std::nullopt, noon);
    all.create("id-2", "adam", "two", true, std::nullopt, noon);
    database_changes changes;
    changes.name = "two";
    changes.visible = visibility::public_;
    CHECK(code_of([&] { all.update("adam", "adam/one", changes); }) == errc::conflict);
    CHECK(all.find("adam", "adam/one").is_private);
    CHECK_NOTHROW(all.update("adam", "adam/two", changes));
}

TEST_CASE("a removed database's name is free again") {
    records all;
    all.create("id-1", "adam", "db", true, std::nullopt, noon);
    CHECK(all.remove("adam", "adam/db").id == "id-1");
    CHECK(all.ids().empty());
    CHECK_NOTHROW(all.create("id-2", "adam", "db", true, std::nullopt, noon));
}

TEST_CASE("each key is its user's, long, random, and of a key's form") {
    records all;
    std::set<std::string> seen;
    for (int i = 0; i < 100; ++i) {
        const api_key key = all.add_key(i % 2 ? "adam" : "eve", noon);
        CHECK(key.reveal().size() == 46);
        CHECK(seen.insert(key.reveal()).second);
        CHECK(all.user_of(key) == (i % 2 ? "adam" : "eve"));
    }
    CHECK(all.user_of(api_key("v2_guessed")) == "");
}

TEST_CASE("a revoked key opens nothing, and nobody revokes another's") {
    records all;
    const api_key first = all.add_key("adam", noon);
    const api_key second = all.add_key("adam", noon);
    const api_key others = all.add_key("eve", noon);
    CHECK(code_of([&] { all.revoke_keys("adam", others); }) == errc::not_found);
    all.revoke_keys("adam", first);
    CHECK(all.user_of(first) == "");
    CHECK(all.user_of(second) == "adam");
    all.revoke_keys("adam", std::nullopt);
    CHECK(all.user_of(second) == "");
    CHECK(all.user_of(others) == "eve");
}

TEST_CASE("what is written reads back the same, and holds no key") {
    records all;
    const api_key key = all.add_key("adam", noon);
    all.create("id-1", "adam", "quo\"te", false, 12, noon);
    all.create("id-2", "eve", "db", true, std::nullopt, noon);
    const std::string text = all.to_json();
    CHECK(text.find(key.reveal()) == std::string::npos);
    CHECK(text.find(key.reveal().substr(3)) == std::string::npos);

    const records again = records::from_json(text);
    CHECK(again.to_json() == text);
    CHECK(again.list("adam") == all.list("adam"));
    CHECK(again.list("eve") == all.list("eve"));
    CHECK(again.user_of(key) == "adam");
}

TEST_CASE("a text that is no catalog, or a newer server's, is refused") {
    for (const char* text : {"", "{", "[]", "{}", R"({"form": 1, "databases": [{}], "keys": []})",
                             R"({"form": 1, "databases": [], "keys": [{"user": 5}]})",
                             R"({"form": 2, "databases": [], "keys": []})"}) {
        CAPTURE(text);
        CHECK(code_of([&] { records::from_json(text); }) == errc::bad_input);
    }
    CHECK_NOTHROW(records::from_json(R"({"form": 1, "databases": [], "keys": []})"));
}

TEST_CASE("an id is a random UUID of version 4") {
    const std::string id = records::new_id();
    CHECK(id.size() == 36);
    CHECK(id[14] == '4');
    CHECK(std::string("89ab").find(id[19]) != std::string::npos);
    CHECK(id != records::new_id());
}

TEST_CASE("a reopened catalog knows its databases and its first key") {
    const test::temporary_directory directory;
    std::string key;
    test::run(create_and_rename(directory.path(), key));
    const auto databases = test::run(list_again(directory.path(), key));
    REQUIRE(databases.size() == 1);
    CHECK(databases[0].id == "id-2");
    CHECK(databases[0].name.full() == "adam/zwei");
    CHECK(databases[0].storage_limit_bytes == 1'000);
}

TEST_CASE("the first key is kept for its user alone, in a private file") {
    const test::temporary_directory directory;
    const std::string first = test::run(first_key_of(directory.path(), "adam"));
    for (const char* name : {"first-key", "catalog.json"}) {
        struct stat about = {};
        REQUIRE(::stat((directory.path() / name).c_str(), &about) == 0);
        CHECK((about.st_mode & 0777) == 0600);
    }
    CHECK(test::run(first_key_of(directory.path(), "adam")) == first);
    const std::string other = test::run(first_key_of(directory.path(), "eve"));
    CHECK(other != first);
    CHECK(read_file(directory.path() / "catalog.json")->find(first) == std::string::npos);
}

TEST_CASE("a first key that is not in the catalog is replaced") {
    const test::temporary_directory directory;
    const std::string first = test::run(first_key_of(directory.path(), "adam"));
    fs::remove(directory.path() / "catalog.json");  // as a crash between the two files leaves it
    CHECK(test::run(first_key_of(directory.path(), "adam")) != first);
}

TEST_CASE("a change that fails is neither seen nor written") {
    const test::temporary_directory directory;
    CHECK(code_of([&] { test::run(conflict(directory.path())); }) == errc::conflict);
    const auto kept = records::from_json(*read_file(directory.path() / "catalog.json"));
    CHECK(kept.ids() == std::vector<std::string>{"id-1"});
    CHECK_FALSE(fs::exists(directory.path() / "catalog.json.new"));
}

TEST_CASE("a further key opens until it is revoked") {
    const test::temporary_directory directory;
    CHECK(code_of([&] { test::run(revoked(directory.path())); }) == errc::authentication_failed);
}

TEST_CASE("a catalog that cannot be understood is left as it is") {
    const test::temporary_directory directory;
    replace_file(directory.path() / "catalog.json", "not a catalog");
    CHECK(code_of([&] { test::run(first_key_of(directory.path(), "adam")); }) ==
          errc::system_failed);
    CHECK(*read_file(directory.path() / "catalog.json") == "not a catalog");
}

TEST_CASE("a user who cannot be in a database name is refused") {
    const test::temporary_directory directory;
    for (const char* user : {"", "-adam", "a/b", "a.b/c"}) {
        CAPTURE(user);
        CHECK(code_of([&] { test::run(first_key_of(directory.path(), user)); }) == errc::bad_input);
    }
}
