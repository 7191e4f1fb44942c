// Keys and service accounts from the command line: made, listed, and worthless once revoked.
#include "support/accounts.hpp"
#include "support/bit_program.hpp"
#include "support/child.hpp"
#include "support/terminal_child.hpp"
#include "support/text.hpp"

#include <boost/json.hpp>

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

namespace {

namespace json = boost::json;
using test::mentions;

struct service : test::profiled_server {
    service() : profiled_server(BIT_PROGRAM) {}

    // The answer of bit, which must succeed.
    json::value answer(std::vector<std::string> words) const {
        const auto ended = bit(std::move(words));
        REQUIRE_MESSAGE(ended.status == 0, ended.err);
        CHECK(ended.err.empty());
        return json::parse(ended.out);
    }
    // Runs bit on a terminal, and answers what it shows.
    std::string shown(std::vector<std::string> words) const {
        words.insert(words.begin(), BIT_PROGRAM);
        words.push_back("--no-color");
        test::terminal_child bit(std::move(words), environment(), 200);
        const auto ended = bit.wait();
        CHECK_MESSAGE(ended.status == 0, ended.out);
        return ended.out;
    }
    // Runs bit with a key of its own.
    test::ending with_key(const std::string& key, std::vector<std::string> words) const {
        words.insert(words.begin(), BIT_PROGRAM);
        auto variables = environment();
        variables["BITIO_KEY"] = key;
        return test::run_program(std::move(words), variables);
    }
};

std::string text_at(const json::value& object, const char* name) {
    return json::value_to<std::string>(object.at(name));
}

std::string id_of(const std::string& key) {
    return key.substr(3, key.find('_', 3) - 3);
}

}  // namespace

TEST_CASE("a key of one's own is made, listed by its id, and worthless once revoked") {
    const service running;
    const std::string key = text_at(running.answer({"key", "create"}), "api_key");
    CHECK(running.with_key(key, {"db", "list"}).status == 0);
    const auto listed = running.bit({"key", "list"});
    CHECK(json::parse(listed.out).at("keys").as_array().size() == 2);
    CHECK(mentions(listed.out, id_of(key)));
    CHECK_FALSE(mentions(listed.out, key));

    CHECK(running.bit({"key", "revoke", id_of(key)}).status == 0);
    const auto refused = running.with_key(key, {"db", "list"});
    CHECK(refused.status == 3);
    CHECK_MESSAGE(mentions(refused.err, "401"), refused.err);
    CHECK_FALSE(mentions(refused.err, key));
    CHECK(running.bit({"db", "list"}).status == 0);

    const auto unknown = running.bit({"key", "revoke", "no-such-id"});
    CHECK(unknown.status == 3);
    CHECK(running.bit({"key", "revoke"}).status == 2);
    CHECK(running.bit({"key", "revoke", "--all", "some-id"}).status == 2);
}

TEST_CASE("all keys are revoked after a yes, and not without one") {
    const service running;
    test::terminal_child no({BIT_PROGRAM, "key", "revoke", "--all"}, running.environment());
    no.read_until("this one among them? [y/N]");
    no.type("\r");
    CHECK(no.wait().status == 3);
    CHECK(running.bit({"db", "list"}).status == 0);

    test::terminal_child yes({BIT_PROGRAM, "key", "revoke", "--all"}, running.environment());
    yes.read_until("[y/N]");
    yes.type("y\r");
    CHECK(yes.wait().status == 0);
    const auto refused = running.bit({"db", "list"});
    CHECK(refused.status == 3);
    CHECK_MESSAGE(mentions(refused.err, "401"), refused.err);
}

TEST_CASE("Ctrl-C at a question changes nothing, says so, and ends with 130") {
    const service running;
    test::terminal_child bit({BIT_PROGRAM, "key", "revoke", "--all"}, running.environment());
    bit.read_until("[y/N] ");
    bit.type("y\x03");
    const auto ended = bit.wait();
    CHECK(ended.status == 130);
    CHECK_MESSAGE(mentions(ended.out, "interrupted: nothing was changed"), ended.out);
    CHECK(running.bit({"db", "list"}).status == 0);
}

TEST_CASE("service accounts are listed and told about, and their keys made and revoked") {
    service running;
    const auto database = running.server.create_database("theirs");
    const auto robot =
        test::make_account(running.server, bitdotio::role::reader, {database}, "bob");
    const std::string listed = running.bit({"service-account", "list"}).out;
    CHECK_MESSAGE(mentions(listed, robot.id), listed);
    const json::value told = running.answer({"service-account", "info", robot.id});
    CHECK(text_at(told, "id") == robot.id);

    const std::string key =
        text_at(running.answer({"service-account", "create-key", robot.id}), "api_key");
    for (const std::string& theirs : {key, robot.key}) {
        CHECK(running.with_key(theirs, {"db", "info", "-d", database.full()}).status == 0);
    }
    CHECK(running.bit({"service-account", "revoke-keys", robot.id}).status == 0);
    for (const std::string& theirs : {key, robot.key}) {
        CHECK(running.with_key(theirs, {"db", "info", "-d", database.full()}).status == 3);
    }
    for (const char* command : {"info", "create-key", "revoke-keys"}) {
        CAPTURE(command);
        const auto unknown = running.bit({"service-account", command, "nobody"});
        CHECK(unknown.status == 3);
        CHECK_MESSAGE(mentions(unknown.err, "404"), unknown.err);
        CHECK(running.bit({"service-account", command}).status == 2);
        CHECK(running.bit({"service-account", command, "no/id"}).status == 2);
    }
}

TEST_CASE("keys and service accounts are tables on a terminal, and JSON where that is wanted") {
    service running;
    const auto first = running.server.create_database("first");
    const auto second = running.server.create_database("second");
    const auto robot =
        test::make_account(running.server, bitdotio::role::writer, {first, second}, "bob");
    const std::string key = text_at(running.answer({"key", "create"}), "api_key");
    CHECK(running.bit({"key", "revoke", id_of(key)}).status == 0);

    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"key", "list"}, {"serve", "key", "list"}}) {
        const std::string keys = running.shown(words);
        CAPTURE(keys);
        CHECK(mentions(keys, "| account | made       | revoked\n"));
        CHECK(mentions(keys, " " + id_of(robot.key)));
        CHECK(mentions(keys, "| bob     | 2"));
        CHECK(mentions(keys, "| local   | 2"));
        // One of them is revoked.
        const std::size_t row = keys.find(" " + id_of(key));
        REQUIRE(row != std::string::npos);
        CHECK(mentions(keys.substr(row, keys.find('\n', row) - row), " | 2"));
        CHECK_FALSE(mentions(keys, "\""));
    }
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"service-account", "list"},
                                               {"service-account", "info", robot.id},
                                               {"serve", "account", "list"}}) {
        const std::string accounts = running.shown(words);
        CAPTURE(accounts);
        CHECK(mentions(accounts, "| account | role   | databases"));
        CHECK(mentions(accounts, " " + robot.id + " | bob     | WRITER | " + first.full() + ", " +
                                     second.full() + " |    1 | 2"));
        std::vector<std::string> as_json = words;
        as_json.push_back("--json");
        CHECK(json::parse(running.shown(as_json)) == running.answer(words));
    }
    CHECK(json::parse(running.shown({"key", "list", "--json"})) == running.answer({"key", "list"}));

    const service empty;
    CHECK(mentions(empty.shown({"service-account", "list"}), "(0 rows)\n"));
}
