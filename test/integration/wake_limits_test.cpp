// Databases that do not wake, or are full, as clients of the Postgres endpoint see them.
#include <bitdotio/error.hpp>

#include "support/moody_programs.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"
#include "support/wire_sessions.hpp"

#include <doctest/doctest.h>
#include <boost/asio/this_coro.hpp>

#include <chrono>
#include <string>
#include <utility>

using namespace std::chrono_literals;
using test::moody_programs;
using test::run;
using test::test_server;
using test::wire_client;
namespace asio = boost::asio;

namespace {

// The refusal a client gets; its type is 'Z' if it was let in.
asio::awaitable<test::reply> answer_to(test_server& server, std::string database) {
    return test::answer_to_login(server, std::move(database), server.key().reveal());
}

}  // namespace

TEST_CASE("an instance that exits at once is tried three times, then refused without a try") {
    const moody_programs programs;
    bitdotio::local_server_options options;
    options.postgres_programs = programs.path();
    test_server server(options);
    const auto name = server.create_database("broken");
    programs.be("broken");

    const long before = programs.count();
    const test::reply first = run(answer_to(server, name.full()), 20s);
    CHECK(first.type == 'E');
    CHECK(first.field('C') == "57P03");
    CHECK(first.field('M').find("does not start") != std::string::npos);
    CHECK(first.field('M').find("out of luck") == std::string::npos);  // that is for the log
    CHECK(programs.count() == before + 3);

    const test::reply second = run(answer_to(server, name.full()), 20s);
    CHECK(second.field('C') == "57P03");
    CHECK(second.field('M') == first.field('M'));
    CHECK(programs.count() == before + 3);
}

TEST_CASE("who waits longer than the wake timeout is refused with 57P03, and may come again") {
    const moody_programs programs;
    bitdotio::local_server_options options;
    options.postgres_programs = programs.path();
    options.wake_timeout = 300ms;
    test_server server(options);
    const auto name = server.create_database("slow");
    programs.be("slow");

    const auto before = std::chrono::steady_clock::now();
    const test::reply refusal = run(answer_to(server, name.full()), 20s);
    const auto waited = std::chrono::steady_clock::now() - before;
    CHECK(refusal.field('C') == "57P03");
    CHECK(refusal.field('M') == "the database is not available: it did not wake in time");
    CHECK(waited >= 300ms);
    CHECK(waited < 10s);

    programs.stop_being("slow");
    test::reply answer;
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (answer.type != 'Z' && std::chrono::steady_clock::now() < deadline) {
        answer = run(answer_to(server, name.full()), 20s);  // 300 ms are short on a busy machine
    }
    CHECK(answer.type == 'Z');
}

TEST_CASE("over the connection limit a client gets 53300, and room as soon as one has left") {
    bitdotio::local_server_options options;
    options.max_connections = 2;
    test_server server(options);
    const auto full = server.create_database("full").full();
    run(30s, [&]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        wire_client one(executor);
        wire_client two(executor);
        co_await test::log_in(one, server, full);
        co_await test::log_in(two, server, full);
        const test::reply refusal = co_await answer_to(server, full);
        CHECK(refusal.type == 'E');
        CHECK(refusal.field('C') == "53300");

        two.close();
        test::reply answer = refusal;
        const auto deadline = std::chrono::steady_clock::now() + 15s;
        while (answer.type != 'Z' && std::chrono::steady_clock::now() < deadline) {
            answer = co_await answer_to(server, full);
        }
        CHECK(answer.type == 'Z');
    });
}

TEST_CASE("a connection limit that cannot be is refused by name") {
    for (const int limit : {0, -1, 10'001}) {
        bitdotio::local_server_options options;
        options.max_connections = limit;
        std::string words;
        try {
            const test_server server(options);
        } catch (const bitdotio::error& failure) {
            CHECK(failure.code() == bitdotio::errc::bad_input);
            words = failure.what();
        }
        CHECK(words.find(std::to_string(limit)) != std::string::npos);
    }
}
