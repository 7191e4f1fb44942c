// Accounts, keys, databases, access rights, and the files that keep them.
#include <doctest/doctest.h>

#include <bitdotio/error.hpp>

#include "server/base/replace_file.hpp"
#include "server/catalog/catalog.hpp"
#include "server/catalog/catalog_rules.hpp"
#include "server/catalog/key_secret.hpp"
#include "server/hosts/scram_client.hpp"
#include "server/hosts/scram_server.hpp"
#include "support/child.hpp"
#include "support/run.hpp"
#include "support/text.hpp"

#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <sqlite3.h>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace bitdotio;
using namespace std::chrono_literals;
using test::contents;
namespace fs = std::filesystem;

const catalog_time noon{std::chrono::microseconds(1'700'000'000'123'456)};
const catalog_time in_29_days = noon + std::chrono::days(29);
const catalog_time in_31_days = noon + std::chrono::days(31);

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

// Two users and their rules.
struct world {
    catalog_rules all;
    std::string adam_id = all.user("adam", noon);
    std::string eve_id = all.user("eve", noon);
    caller adam = all.find_user("adam");
    caller eve = all.find_user("eve");

    database make(const std::string& id, const std::string& name, bool is_private = true) {
        return all.create(adam, id, name, is_private, 5'000, noon);
    }
    caller service(const std::string& name, role what) {
        const service_account made = all.create_account(adam_id, name, what, noon);
        caller who;
        who.account = made.id;
        who.name = made.name;
        who.is_service = true;
        return who;
    }
};

database_changes rename_to(const std::string& name) {
    database_changes changes;
    changes.name = name;
    return changes;
}

// What a client that has this key proves to a server with these terms.
std::shared_ptr<scram_server> proof_of(const std::string& key, const scram_secret& terms) {
    auto server = std::make_shared<scram_server>(terms.salt, terms.iterations, "server's", "");
    scram_client client(key, "client's");
    const std::string challenge = server->challenge(scram_server::mechanism, client.first());
    server->receive(client.answer(challenge));
    return server;
}

asio::awaitable<std::shared_ptr<catalog>> open(fs::path directory, std::string user) {
    catalog_options options(std::move(directory), std::move(user));
    options.storage_limit = 77;
    co_return co_await catalog::open(co_await asio::this_coro::executor, options);
}

// Leaves the file as a version without SCRAM would have.
void forget_verifiers(const fs::path& file) {
    sqlite3* opened = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &opened) == SQLITE_OK);
    CHECK(sqlite3_exec(opened, "UPDATE api_keys SET scram = ''", nullptr, nullptr, nullptr) ==
          SQLITE_OK);
    sqlite3_close(opened);
}

asio::awaitable<void> show_an_old_key(fs::path directory) {
    const auto before = co_await open(directory, "adam");
    const caller who = co_await before->admit(before->first_key(), "127.0.0.1");
    const issued_key further = co_await before->add_key(who);
    co_await before->close();
    forget_verifiers(directory / "state.sqlite");

    const auto after = co_await open(directory, "adam");
    std::optional<scram_secret> terms = co_await after->scram_terms();
    CHECK_FALSE(terms);  // the first key has its verifier again, the other was not seen yet
    co_await after->admit(further.key, "127.0.0.1");
    co_await after->add_key(who);  // changes are made in order: the verifier's is done by then
    terms = co_await after->scram_terms();
    REQUIRE(terms);
    std::vector<api_key> both;
    both.push_back(after->first_key());
    both.push_back(further.key);
    for (const api_key& key : both) {
        const std::shared_ptr<const scram_server> shown = proof_of(key.reveal(), *terms);
        const proven_caller proven = co_await after->admit_proof(shown, "127.0.0.1");
        CHECK(proven.who.key == key_id(key));
    }
    co_await after->close();
}

asio::awaitable<void> create_and_rename(fs::path directory, std::string& key) {
    const auto first = co_await open(directory, "adam");
    key = first->first_key().reveal();
    const caller who = co_await first->admit(first->first_key(), "127.0.0.1");
    CHECK(who.name == "adam");
    co_await first->create(who, "id-1", "one", true, std::nullopt);
    const database two = co_await first->create(who, "id-2", "two", false, 1'000);
    CHECK(two.usage_current->rows_queried == 0);
    co_await first->update(who, "adam/two", rename_to("zwei"));
    co_await first->remove(who, "adam/one");
    std::vector<database_name> his;
    his.emplace_back("adam/zwei");
    co_await first->create_account("adam", "robot", role::writer, his);
    first->count_rows("id-2", 40);
    first->count_rows("id-2", 2);
    co_await first->close();
}

asio::awaitable<void> look_again(fs::path directory, std::string key) {
    const auto again = co_await open(directory, "adam");
    CHECK(again->first_key().reveal() == key);
    const caller who = co_await again->admit(again->first_key(), "127.0.0.1");
    const auto databases = co_await again->list(who);
    REQUIRE(databases.size() == 1);
    CHECK(databases[0].id == "id-2");
    CHECK(databases[0].name.full() == "adam/zwei");
    CHECK(databases[0].storage_limit_bytes == 1'000);
    CHECK(databases[0].usage_current->rows_queried == 42);
    const database by_old_name = co_await again->find(who, "adam/two");
    CHECK(by_old_name.id == "id-2");
    const auto accounts = co_await again->accounts(who);
    REQUIRE(accounts.size() == 1);
    CHECK(accounts[0].name == "robot");
    CHECK(accounts[0].role == role::writer);
    CHECK(accounts[0].databases.size() == 1);
    const database small = co_await again->create(who, "id-3", "three", true, std::nullopt);
    CHECK(small.storage_limit_bytes == 77);
    co_await again->close();
}

asio::awaitable<std::string> first_key_of(fs::path directory, std::string user) {
    const auto opened = co_await open(directory, user);
    const caller whose = co_await opened->admit(opened->first_key(), "127.0.0.1");
    CHECK(whose.name == user);
    co_await opened->close();
    co_return opened->first_key().reveal();
}

asio::awaitable<void> conflict(fs::path directory) {
    const auto opened = co_await open(directory, "adam");
    const caller who = co_await opened->find_user("adam");
    co_await opened->create(who, "id-1", "one", true, std::nullopt);
    std::exception_ptr failure;
    try {
        co_await opened->create(who, "id-2", "one", true, std::nullopt);
    } catch (...) {
        failure = std::current_exception();
    }
    const auto kept = co_await opened->ids();
    CHECK(kept == std::vector<std::string>{"id-1"});
    co_await opened->close();
    REQUIRE(failure);
    std::rethrow_exception(failure);
}

asio::awaitable<void> revoked(fs::path directory) {
    const auto opened = co_await open(directory, "adam");
    const caller who = co_await opened->find_user("adam");
    const issued_key second = co_await opened->add_key(who);
    CHECK(second.username == "adam");
    co_await opened->admit(second.key, "::1");
    co_await opened->revoke_keys(who, second.key);
    co_await opened->admit(opened->first_key(), "::1");
    co_await opened->admit(second.key, "::1");
}

asio::awaitable<void> change_after_close(fs::path directory) {
    const auto opened = co_await open(directory, "adam");
    const caller who = co_await opened->find_user("adam");
    co_await opened->close();
    co_await opened->add_key(who);
}

}  // namespace

TEST_CASE("a database is found by its owner, under its name, with what was set") {
    world w;
    const database made = w.make("id-1", "my-db", false);
    CHECK(made.name.full() == "adam/my-db");
    CHECK(made.date_created == noon);
    CHECK(made.visible == visibility::public_);
    CHECK(made.storage_limit_bytes == 5'000);
    CHECK(made.role == role::owner);
    CHECK(w.all.find(w.adam, "adam/my-db", noon) == made);
}

TEST_CASE("what one may not use does not exist, in the same words as what is nowhere") {
    world w;
    w.make("id-1", "my-db");
    const auto words = [&](const char* name) {
        try {
            w.all.find(w.eve, name, noon);
        } catch (const error& failure) {
            CHECK(failure.code() == errc::not_found);
            return std::string(failure.what());
        }
        return std::string("found");
    };
    CHECK(words("adam/my-db") == "there is no database \"adam/my-db\"");
    CHECK(words("adam/none") == "there is no database \"adam/none\"");
    CHECK(code_of([&] { w.all.remove(w.eve, "adam/my-db", noon); }) == errc::not_found);
    CHECK(code_of([&] { w.all.update(w.eve, "adam/my-db", {}, noon); }) == errc::not_found);
    CHECK(w.all.list(w.eve).empty());
}

TEST_CASE("a public database is read by everybody and changed by nobody else") {
    world w;
    w.make("id-1", "shown", false);
    CHECK(w.all.find(w.eve, "adam/shown", noon).role == role::reader);
    CHECK(w.all.list(w.eve).empty());
    CHECK(code_of([&] { w.all.update(w.eve, "adam/shown", rename_to("x"), noon); }) ==
          errc::permission_denied);
    CHECK(code_of([&] { w.all.remove(w.eve, "adam/shown", noon); }) == errc::permission_denied);
}

TEST_CASE("names and limits that cannot be are refused") {
    world w;
    for (const char* name :
         {"", "123456789012345678901234", "a/b", "new\nline", "../../etc/passwd"}) {
        CAPTURE(name);
        CHECK(code_of([&] { w.make("id", name); }) == errc::bad_input);
    }
    CHECK(code_of([&] { w.all.user("-adam", noon); }) == errc::bad_input);
    CHECK(code_of([&] { w.all.create(w.adam, "id", "db", true, -1, noon); }) == errc::bad_input);
    CHECK(w.all.list(w.adam).empty());
    CHECK_NOTHROW(w.make("id", "12345678901234567890123"));
}

TEST_CASE("a name belongs to one database of a user, and to another user's as well") {
    world w;
    w.make("id-1", "db");
    CHECK(code_of([&] { w.make("id-2", "db"); }) == errc::conflict);
    CHECK_NOTHROW(w.all.create(w.eve, "id-3", "db", true, 1, noon));
    CHECK_NOTHROW(w.make("id-4", "DB"));
}

TEST_CASE("an update changes what is set and leaves the rest") {
    world w;
    const database before = w.make("id-1", "one");
    CHECK(w.all.update(w.adam, "adam/one", {}, noon) == before);
    const database renamed = w.all.update(w.adam, "adam/one", rename_to("uno"), noon);
    CHECK(renamed.id == "id-1");
    CHECK(renamed.name.full() == "adam/uno");
    CHECK(renamed.visible == visibility::private_);
    CHECK(renamed.storage_limit_bytes == 5'000);

    database_changes others;
    others.visible = visibility::public_;
    others.storage_limit_bytes = 8;
    const database changed = w.all.update(w.adam, "adam/uno", others, noon);
    CHECK(changed.visible == visibility::public_);
    CHECK(changed.storage_limit_bytes == 8);
}

TEST_CASE("a renamed database answers to its old name for 30 days, and blocks it as long") {
    world w;
    w.make("id-1", "one");
    w.all.update(w.adam, "adam/one", rename_to("uno"), noon);
    CHECK(w.all.find(w.adam, "adam/one", in_29_days).name.full() == "adam/uno");
    CHECK(code_of([&] { w.all.find(w.adam, "adam/one", in_31_days); }) == errc::not_found);
    CHECK(code_of([&] { w.make("id-2", "one"); }) == errc::conflict);
    CHECK_NOTHROW(w.all.create(w.adam, "id-2", "one", true, 1, in_31_days));

    w.all.update(w.adam, "adam/uno", rename_to("eins"), noon);
    w.all.update(w.adam, "adam/eins", rename_to("uno"), noon);  // back to its own former name
    CHECK(w.all.find(w.adam, "adam/eins", noon).name.full() == "adam/uno");
}

TEST_CASE("a rename to a taken name changes nothing, one to its own name is fine") {
    world w;
    w.make("id-1", "one");
    w.make("id-2", "two");
    database_changes changes = rename_to("two");
    changes.visible = visibility::public_;
    CHECK(code_of([&] { w.all.update(w.adam, "adam/one", changes, noon); }) == errc::conflict);
    CHECK(w.all.find(w.adam, "adam/one", noon).visible == visibility::private_);
    CHECK_NOTHROW(w.all.update(w.adam, "adam/two", changes, noon));
}

TEST_CASE("a deleted database's names are blocked for 30 days and then free") {
    world w;
    w.make("id-1", "old");
    w.all.update(w.adam, "adam/old", rename_to("db"), noon);
    CHECK(w.all.remove(w.adam, "adam/db", noon).id == "id-1");
    CHECK(w.all.ids().empty());
    for (const char* name : {"old", "db"}) {
        CHECK(code_of([&] { w.all.find(w.adam, std::string("adam/") + name, noon); }) ==
              errc::not_found);
        CHECK(code_of([&] { w.all.create(w.adam, "id-2", name, true, 1, in_29_days); }) ==
              errc::conflict);
        CHECK_NOTHROW(w.all.check_free(w.adam, name, in_31_days));
    }
    w.all.forget_names(in_31_days);
    CHECK(w.all.state().former_names.empty());
}

TEST_CASE("a service account uses the databases it was given, in its role") {
    world w;
    w.make("id-1", "one");
    w.make("id-2", "two");
    const struct {
        const char* name;
        role what;
        bool may_change;
    } table[] = {{"a", role::admin, true}, {"w", role::writer, false}, {"r", role::reader, false}};
    for (const auto& [name, what, may_change] : table) {
        CAPTURE(name);
        const caller robot = w.service(name, what);
        CHECK(code_of([&] { w.all.find(robot, "adam/one", noon); }) == errc::not_found);
        w.all.grant(w.adam_id, robot.account, "adam/one", noon);
        CHECK(w.all.find(robot, "adam/one", noon).role == what);
        CHECK(w.all.list(robot).size() == 1);
        CHECK(code_of([&] { w.all.find(robot, "adam/two", noon); }) == errc::not_found);
        CHECK(code_of([&] { w.all.remove(robot, "adam/one", noon); }) == errc::permission_denied);
        CHECK(code_of([&] { w.all.create(robot, "id", "new", true, 1, noon); }) ==
              errc::permission_denied);
        database_changes public_now;
        public_now.visible = visibility::private_;
        if (may_change) {
            CHECK_NOTHROW(w.all.update(robot, "adam/one", public_now, noon));
        } else {
            CHECK(code_of([&] { w.all.update(robot, "adam/one", public_now, noon); }) ==
                  errc::permission_denied);
        }
        w.all.revoke(w.adam_id, robot.account, "adam/one", noon);
        CHECK(code_of([&] { w.all.find(robot, "adam/one", noon); }) == errc::not_found);
    }
}

TEST_CASE("service accounts are their user's alone, and their names and roles are checked") {
    world w;
    w.make("id-1", "one");
    const caller robot = w.service("robot", role::writer);
    CHECK(w.all.accounts(w.adam_id).size() == 1);
    CHECK(w.all.accounts(w.eve_id).empty());
    CHECK(code_of([&] { w.all.find_account(w.eve_id, robot.account); }) == errc::not_found);
    CHECK(code_of([&] { w.all.find_account(w.adam_id, w.eve_id); }) == errc::not_found);
    CHECK(code_of([&] { w.service("robot", role::reader); }) == errc::conflict);
    CHECK(code_of([&] { w.service("", role::reader); }) == errc::bad_input);
    CHECK(code_of([&] { w.service("boss", role::owner); }) == errc::bad_input);
    CHECK(code_of([&] { w.all.grant(w.eve_id, robot.account, "adam/one", noon); }) ==
          errc::not_found);

    const api_key key = w.all.add_key(robot.account, noon);
    w.all.add_key(robot.account, noon);
    w.all.revoke_keys(robot.account, key, noon);
    const service_account told = w.all.find_account(w.adam_id, robot.account);
    CHECK(told.token_count == 2);
    CHECK(told.active_token_count == 1);
    w.all.remove_account(w.adam_id, robot.account);
    CHECK(w.all.accounts(w.adam_id).empty());
    CHECK(w.all.state().keys.empty());
}

TEST_CASE("each key is its account's, long, random, and of a key's form") {
    world w;
    std::set<std::string> seen;
    for (int i = 0; i < 100; ++i) {
        const api_key key = w.all.add_key(i % 2 ? w.adam_id : w.eve_id, noon);
        CHECK(key.reveal().size() == 59);
        CHECK(key_id(key).size() == 12);
        CHECK(seen.insert(key.reveal()).second);
        const auto who = w.all.find_caller(key);
        REQUIRE(who);
        CHECK(who->name == (i % 2 ? "adam" : "eve"));
        CHECK_FALSE(who->is_service);
    }
    CHECK_FALSE(w.all.find_caller(api_key("v2_guessed")));
    // The right id does not help without the rest.
    std::string forged = *seen.begin();
    forged.back() = forged.back() == 'x' ? 'y' : 'x';
    CHECK_FALSE(w.all.find_caller(api_key(forged)));
}

TEST_CASE("an unknown key takes the same work to refuse as a wrong or a revoked one") {
    world w;
    const api_key right = w.all.add_key(w.adam_id, noon);
    const api_key revoked = w.all.add_key(w.adam_id, noon);
    w.all.revoke_keys(w.adam_id, revoked, noon);
    std::string text = right.reveal();
    text.back() = text.back() == 'x' ? 'y' : 'x';
    const auto& keys = w.all.state().keys;
    CHECK(judge(keys, right).row == &keys.at(key_id(right)));
    CHECK(judge(keys, right).hashes == 1);
    for (const api_key& key : {api_key(text), revoked, new_key(), api_key("v2_guessed")}) {
        CHECK(judge(keys, key).row == nullptr);
        CHECK(judge(keys, key).hashes == 1);
    }
    CHECK(judge({}, right).hashes == 1);
}

TEST_CASE("of a key its salted hash is kept, and of a revoked one not even that") {
    world w;
    const api_key key = w.all.add_key(w.adam_id, noon);
    const key_row kept = w.all.state().keys.at(key_id(key));
    CHECK(kept.salt.size() == 32);
    CHECK(kept.digest.size() == 64);
    CHECK(key.reveal().find(kept.salt) == std::string::npos);
    CHECK(hashed(key, w.adam_id, noon).digest != kept.digest);  // another salt
    CHECK(matches(kept, key));
    w.all.revoke_keys(w.adam_id, key, noon);
    CHECK(w.all.state().keys.at(key_id(key)).digest.empty());
    CHECK_FALSE(w.all.find_caller(key));
}

TEST_CASE("a key is found by its proof alone, unless it is revoked") {
    world w;
    CHECK_FALSE(w.all.scram_terms());
    const api_key first = w.all.add_key(w.adam_id, noon);
    const api_key second = w.all.add_key(w.eve_id, noon);
    const auto terms = w.all.scram_terms();
    REQUIRE(terms);
    CHECK(terms->salt.size() == 16);
    CHECK(terms->iterations == 4096);
    CHECK(terms->stored_key.empty());
    CHECK(terms->server_key.empty());
    const auto found = w.all.find_caller(*proof_of(second.reveal(), *terms));
    REQUIRE(found);
    CHECK(found->who.key == key_id(second));
    CHECK(found->who.name == "eve");
    CHECK(found->signature.starts_with("v="));
    CHECK_FALSE(w.all.find_caller(*proof_of(new_key().reveal(), *terms)));
    CHECK_FALSE(w.all.find_caller(*proof_of("", *terms)));
    w.all.revoke_keys(w.eve_id, second, noon);
    CHECK_FALSE(w.all.find_caller(*proof_of(second.reveal(), *terms)));
    CHECK(w.all.state().keys.at(key_id(second)).verifier.empty());
    CHECK(w.all.scram_terms()->salt == terms->salt);  // a revoked key has no verifier to lack
    for (const key_row& row : w.all.keys(w.adam_id)) {
        CHECK(row.verifier.empty());
    }
}

TEST_CASE("a key without a verifier is asked for in clear text until it has been shown") {
    world w;
    const api_key old = w.all.add_key(w.adam_id, noon);
    const api_key fresh = w.all.add_key(w.adam_id, noon);
    const std::string salt = w.all.scram_terms()->salt;
    catalog_rows before = w.all.state();
    before.keys.at(key_id(old)).verifier.clear();
    catalog_rules all(before);
    CHECK_FALSE(all.scram_terms());
    CHECK(all.lacks_verifier(key_id(old)));
    CHECK_FALSE(all.lacks_verifier(key_id(fresh)));
    all.keep_verifier(new_key());
    all.keep_verifier(fresh);
    CHECK(all.take_changes().empty());
    all.keep_verifier(old);
    CHECK(all.take_changes().size() == 1);
    REQUIRE(all.scram_terms());
    CHECK(all.scram_terms()->salt == salt);
    CHECK(all.find_caller(*proof_of(old.reveal(), *all.scram_terms())));
}

TEST_CASE("with more keys than a proof can be held against, they are asked for in clear text") {
    world w;
    w.all.add_key(w.adam_id, noon);
    catalog_rows many = w.all.state();
    const key_row one = many.keys.begin()->second;
    while (many.keys.size() < catalog_rules::most_scram_keys) {
        key_row next = one;
        next.id = std::to_string(many.keys.size());
        many.keys[next.id] = next;
    }
    CHECK(catalog_rules(many).scram_terms());
    many.keys["one more"] = one;
    CHECK_FALSE(catalog_rules(many).scram_terms());
}

TEST_CASE("a revoked key opens nothing, and nobody revokes another's") {
    world w;
    const api_key first = w.all.add_key(w.adam_id, noon);
    const api_key second = w.all.add_key(w.adam_id, noon);
    const api_key others = w.all.add_key(w.eve_id, noon);
    CHECK(code_of([&] { w.all.revoke_keys(w.adam_id, others, noon); }) == errc::not_found);
    w.all.revoke_keys(w.adam_id, first, noon);
    CHECK(code_of([&] { w.all.revoke_keys(w.adam_id, first, noon); }) == errc::not_found);
    CHECK_FALSE(w.all.find_caller(first));
    CHECK(w.all.find_caller(second));
    w.all.revoke_keys(w.adam_id, std::nullopt, noon);
    CHECK_FALSE(w.all.find_caller(second));
    CHECK(w.all.find_caller(others));
}

TEST_CASE("an id is a random UUID of version 4") {
    const std::string id = new_id();
    CHECK(id.size() == 36);
    CHECK(id[14] == '4');
    CHECK(std::string("89ab").find(id[19]) != std::string::npos);
    CHECK(id != new_id());
}

TEST_CASE("a reopened catalog knows its databases, accounts, counts and its first key") {
    const test::temporary_directory directory;
    std::string key;
    test::run(create_and_rename(directory.path(), key));
    test::run(look_again(directory.path(), key));
}

TEST_CASE("the first key is kept for its user alone, in a private file beside the store") {
    const test::temporary_directory directory;
    const std::string first = test::run(first_key_of(directory.path(), "adam"));
    for (const char* name : {"first-key", "state.sqlite"}) {
        struct stat about = {};
        REQUIRE(::stat((directory.path() / name).c_str(), &about) == 0);
        CHECK((about.st_mode & 0777) == 0600);
    }
    CHECK(test::run(first_key_of(directory.path(), "adam")) == first);
    const std::string other = test::run(first_key_of(directory.path(), "eve"));
    CHECK(other != first);
    const std::string kept = contents(directory.path() / "state.sqlite");
    for (const std::string& key : {first, other}) {
        CHECK(kept.find(key.substr(16)) == std::string::npos);  // the part after the id
    }
    CHECK(kept.find(first.substr(3, 12)) != std::string::npos);
}

TEST_CASE("a key of an older version can be proven by SCRAM once it has been shown") {
    const test::temporary_directory directory;
    test::run(show_an_old_key(directory.path()));
}

TEST_CASE("a first key that is not in the store is replaced") {
    const test::temporary_directory directory;
    const std::string first = test::run(first_key_of(directory.path(), "adam"));
    fs::remove(directory.path() / "state.sqlite");  // as a crash between the two files leaves it
    CHECK(test::run(first_key_of(directory.path(), "adam")) != first);
}

TEST_CASE("a change that fails is neither seen nor written") {
    const test::temporary_directory directory;
    CHECK(code_of([&] { test::run(conflict(directory.path())); }) == errc::conflict);
}

TEST_CASE("a further key opens until it is revoked") {
    const test::temporary_directory directory;
    CHECK(code_of([&] { test::run(revoked(directory.path())); }) == errc::authentication_failed);
}

TEST_CASE("a closed catalog changes nothing") {
    const test::temporary_directory directory;
    CHECK(code_of([&] { test::run(change_after_close(directory.path())); }) == errc::conflict);
}

TEST_CASE("a file that is no store is left as it is, and so is what a version before left") {
    const test::temporary_directory directory;
    const std::string text(4'096, 'x');
    replace_file(directory.path() / "state.sqlite", text);
    CHECK(code_of([&] { test::run(first_key_of(directory.path(), "adam")); }) ==
          errc::system_failed);
    CHECK(contents(directory.path() / "state.sqlite") == text);
    fs::remove(directory.path() / "state.sqlite");
    replace_file(directory.path() / "catalog.json", "{}");
    CHECK(code_of([&] { test::run(first_key_of(directory.path(), "adam")); }) ==
          errc::system_failed);
}

TEST_CASE("a user who cannot be in a database name is refused") {
    const test::temporary_directory directory;
    for (const char* user : {"", "-adam", "a/b", "a.b/c"}) {
        CAPTURE(user);
        CHECK(code_of([&] { test::run(first_key_of(directory.path(), user)); }) == errc::bad_input);
    }
}
