// Deadlines and cancellations that race with the end of their statement.
#include "support/database.hpp"
#include "support/relay.hpp"

#include "postgres/libpq.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <exception>
#include <optional>
#include <string>

using namespace bitdotio;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

test::database& shared() {
    static test::database one;
    return one;
}

asio::awaitable<void> run_once(connection& c, statement sql, double seconds) {
    // A coroutine receives only terminal cancellations, unless it enables the others too.
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await c.query(std::move(sql), seconds);
}

}  // namespace

TEST_CASE("a cancel that comes late hits no innocent statement") {
    int stopped = 0;
    int ended = 0;
    // Four hundred times as long as a busy machine takes for one.
    test::run(4min, [&]() -> asio::awaitable<void> {
        connection c = co_await connection::open(shared().connect);
        const int pid = c.backend_pid();
        for (int i = 0; i < 400; ++i) {
            // The deadline falls before, at and after the end of the statement, and so does the
            // cancel, which takes longer where it is encrypted.
            statement sleep("SELECT pg_sleep($1)");
            sleep.timeout(std::chrono::milliseconds(2 + i % 3));
            try {
                co_await c.query(sleep, 0.003 * (1 + i % 6));
                ++ended;
            } catch (const error& failure) {
                REQUIRE(failure.code() == errc::timeout);
                REQUIRE(failure.outcome() == outcome::not_executed);
                ++stopped;
            }
            const result answer = co_await c.query("SELECT $1::int", i);
            REQUIRE(answer.one<int>() == i);
        }
        CHECK(c.backend_pid() == pid);
    });
    CHECK(stopped + ended == 400);
    CHECK(stopped > 0);
}

TEST_CASE("a cancel is encrypted as its connection is, as far as libpq can do that") {
    const std::string ssl_request{0, 0, 0, 8, 4, '\xd2', 22, 47};
#ifdef LIBPQ_HAS_ASYNC_CANCEL
    const std::string first_words = ssl_request;
#else
    const std::string first_words{0, 0, 0, 16, 4, '\xd2', 22, 46};  // a CancelRequest without TLS
#endif
    test::run([&]() -> asio::awaitable<void> {
        connect_options options = shared().connect;
        const auto relay =
            test::relay::start(co_await asio::this_coro::executor, options.hosts.at(0).port);
        options.hosts.at(0).port = relay->port();
        connection c = co_await connection::open(options);
        const int pid = c.backend_pid();
        statement sleep("SELECT pg_sleep(60)");
        sleep.timeout(50ms);
        std::optional<error> failure;
        try {
            co_await c.query(sleep);
        } catch (const error& caught) {
            failure = caught;
        }
        REQUIRE(failure);
        CHECK(failure->code() == errc::timeout);
        CHECK(failure->outcome() == outcome::not_executed);
        CHECK(c.backend_pid() == pid);
        REQUIRE(relay->openings.size() >= 2);
        CHECK(relay->openings[0] == ssl_request);
        CHECK(relay->openings[1].substr(0, first_words.size()) == first_words);
    });
}

TEST_CASE("a cancel that gets no answer is given up in time, and its connection cut") {
    test::run([&]() -> asio::awaitable<void> {
        connect_options options = shared().connect;
        options.cancel_timeout = 300ms;
        const auto relay =
            test::relay::start(co_await asio::this_coro::executor, options.hosts.at(0).port);
        options.hosts.at(0).port = relay->port();
        connection c = co_await connection::open(options);
        relay->mode = test::relay_mode::swallow;
        statement sleep("SELECT pg_sleep(60)");
        sleep.timeout(50ms);
        const auto begin = std::chrono::steady_clock::now();
        std::optional<error> failure;
        try {
            co_await c.query(sleep);
        } catch (const error& caught) {
            failure = caught;
        }
        REQUIRE(failure);
        CHECK(failure->code() == errc::timeout);
        CHECK(failure->outcome() == outcome::unknown);
        CHECK(std::chrono::steady_clock::now() - begin < 5s);
        CHECK(relay->accepted == 2);  // one cancel, on which it waited to the end
        relay->hang_up();             // before libpq 17 a thread goes on waiting
    });
}

TEST_CASE("cancellations of every type stop the statement and nothing after it") {
    test::run([]() -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        connection c = co_await connection::open(shared().connect);
        const int pid = c.backend_pid();
        int round = 0;
        for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial,
                                asio::cancellation_type::total}) {
            for (int i = 0; i < 30; ++i, ++round) {
                asio::cancellation_signal signal;
                asio::steady_timer over(executor, std::chrono::steady_clock::time_point::max());
                std::optional<error> failure;
                bool done = false;
                const auto on_end = [&](std::exception_ptr thrown) {
                    try {
                        if (thrown) std::rethrow_exception(thrown);
                    } catch (const error& caught) {
                        failure = caught;
                    }
                    done = true;
                    over.cancel();
                };
                auto running = run_once(c, "SELECT pg_sleep($1)", 20.0);
                asio::co_spawn(executor, std::move(running),
                               asio::bind_cancellation_slot(signal.slot(), on_end));
                asio::steady_timer moment(executor, std::chrono::microseconds(100 * i));
                co_await moment.async_wait(asio::use_awaitable);
                signal.emit(type);
                boost::system::error_code ignored;
                if (!done) {
                    co_await over.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
                }
                REQUIRE(failure);
                CHECK(failure->code() == errc::cancelled);
                const result answer = co_await c.query("SELECT $1::int", round);
                REQUIRE(answer.one<int>() == round);
            }
        }
        CHECK(c.backend_pid() == pid);
    });
}
