// What an error holds, and what a copy with more information keeps.
#include <bitdotio/error.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <set>
#include <string>
#include <type_traits>

namespace {

using namespace bitdotio;

// The last of each; a new one makes the tests below fail until it is added.
constexpr errc last_code = errc::forked;
constexpr phase last_phase = phase::committing;
constexpr outcome last_outcome = outcome::unknown;

server_message unique_violation() {
    server_message said;
    said.severity = "ERROR";
    said.sqlstate = "23505";
    said.message = "duplicate key value";
    said.constraint = "people_pkey";
    said.position = 7;
    return said;
}

TEST_CASE("every code has words of its own") {
    std::set<std::string> words;
    for (int value = 1; value <= static_cast<int>(last_code); ++value) {
        CAPTURE(value);
        const std::string word(to_string(static_cast<errc>(value)));
        CHECK_FALSE(word.empty());
        CHECK(word != "unknown error");
        CHECK(words.insert(word).second);
    }
    CHECK(to_string(static_cast<errc>(static_cast<int>(last_code) + 1)) == "unknown error");
    CHECK(to_string(errc{}) == "unknown error");
}

TEST_CASE("every phase and every outcome has words of its own") {
    std::set<std::string> phases;
    for (int value = 0; value <= static_cast<int>(last_phase); ++value) {
        CHECK(phases.emplace(to_string(static_cast<phase>(value))).second);
    }
    CHECK(phases.count("unknown") == 0);
    std::set<std::string> outcomes;
    for (int value = 0; value <= static_cast<int>(last_outcome); ++value) {
        CHECK(outcomes.emplace(to_string(static_cast<outcome>(value))).second);
    }
}

TEST_CASE("a code is an error_code of the category \"bitdotio\"") {
    const boost::system::error_code code = errc::not_found;
    CHECK(code.category() == error_category());
    CHECK(std::string(code.category().name()) == "bitdotio");
    CHECK(code.message() == "not found");
    CHECK(code == errc::not_found);
    CHECK(code != errc::conflict);
    CHECK(code.failed());
}

TEST_CASE("a new error knows its code and its sentence and claims nothing else") {
    const error made(errc::timeout, "it took too long");
    CHECK(made.code() == errc::timeout);
    CHECK(made.error_code() == errc::timeout);
    CHECK(std::string(made.what()) == "it took too long");
    CHECK(made.sqlstate().empty());
    CHECK(made.server().message.empty());
    CHECK(made.http_status() == 0);
    CHECK(made.http_body().empty());
    CHECK(made.phase() == phase::none);
    CHECK(made.outcome() == outcome::none);
    CHECK(made.transaction_id().empty());
    CHECK(made.attempts() == 1);
    CHECK_FALSE(made.woke_database());
}

TEST_CASE("each way to say more changes one thing and keeps the others") {
    const error whole = error(errc::query_failed, "the statement failed")
                            .with(unique_violation())
                            .with(phase::replied)
                            .with(outcome::not_executed)
                            .with_http(400, "{}")
                            .with_transaction_id("738/1/7")
                            .with_attempts(3)
                            .with_woke_database(true);
    const auto check_others = [&](const error& changed, const char* but) {
        const std::string one = but;
        CAPTURE(one);
        CHECK((changed.code() == whole.code()) == (one != "code"));
        CHECK((std::string(changed.what()) == whole.what()) == (one != "message"));
        CHECK((changed.sqlstate() == whole.sqlstate()) == (one != "server"));
        CHECK((changed.server().constraint == whole.server().constraint) == (one != "server"));
        CHECK((changed.server().position == whole.server().position) == (one != "server"));
        CHECK((changed.phase() == whole.phase()) == (one != "phase"));
        CHECK((changed.outcome() == whole.outcome()) == (one != "outcome"));
        CHECK((changed.http_status() == whole.http_status()) == (one != "http"));
        CHECK((changed.http_body() == whole.http_body()) == (one != "http"));
        CHECK((changed.transaction_id() == whole.transaction_id()) == (one != "transaction"));
        CHECK((changed.attempts() == whole.attempts()) == (one != "attempts"));
        CHECK((changed.woke_database() == whole.woke_database()) == (one != "woke"));
    };
    check_others(whole, "nothing");
    check_others(whole.with(server_message()), "server");
    check_others(whole.with(phase::sending), "phase");
    check_others(whole.with(outcome::unknown), "outcome");
    check_others(whole.with_code(errc::conflict), "code");
    check_others(whole.with_message("other words"), "message");
    check_others(whole.with_http(409, "null"), "http");
    check_others(whole.with_transaction_id("739/1/7"), "transaction");
    check_others(whole.with_attempts(4), "attempts");
    check_others(whole.with_woke_database(false), "woke");

    CHECK(whole.sqlstate() == "23505");
    CHECK(whole.server().constraint == "people_pkey");
    CHECK(whole.server().position == 7);
    CHECK(whole.phase() == phase::replied);
    CHECK(whole.outcome() == outcome::not_executed);
    CHECK(whole.http_status() == 400);
    CHECK(whole.http_body() == "{}");
    CHECK(whole.transaction_id() == "738/1/7");
    CHECK(whole.attempts() == 3);
    CHECK(whole.woke_database());
}

TEST_CASE("to say more leaves the error it is said of as it was") {
    const error first(errc::connection_lost, "gone");
    const error second = first.with(outcome::unknown).with_message("gone for good");
    CHECK(first.outcome() == outcome::none);
    CHECK(std::string(first.what()) == "gone");
    CHECK(std::string(second.what()) == "gone for good");
}

TEST_CASE("copies share their contents and outlive the original") {
    std::string long_text(1000, 'x');
    auto original = std::make_unique<error>(errc::not_found, long_text);
    const error copy = *original;
    CHECK(static_cast<const void*>(copy.what()) == static_cast<const void*>(original->what()));
    original.reset();
    CHECK(copy.what() == long_text);
    CHECK(std::is_nothrow_copy_constructible_v<error>);
    CHECK(std::is_nothrow_copy_assignable_v<error>);
}

TEST_CASE("an error is caught as a std::exception with its sentence") {
    CHECK_THROWS_WITH_AS(throw error(errc::bad_input, "a sentence"), "a sentence", std::exception);
}

}  // namespace
