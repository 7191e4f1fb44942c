// Whether a session that idles in a pool is alive.
#include "support/database.hpp"
#include "support/postgres.hpp"

#include "postgres/connector.hpp"
#include "postgres/postgres_session.hpp"

#include <bitdotio/pool.hpp>

#include <signal.h>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connect_options;
using bitdotio::connector;
using bitdotio::session_status;
using session = std::shared_ptr<bitdotio::postgres_session>;

test::private_postgres& server() {
    static test::private_postgres instance([] {
        test::private_postgres_options options;
        options.hba = "host all all 127.0.0.1/32 trust\n";
        return options;
    }());
    return instance;
}

connect_options somebody() {
    return server().over_tcp("postgres", "");
}

asio::awaitable<session> dial(connect_options options) {
    const connector target(co_await asio::this_coro::executor, options);
    co_return co_await target.dial();
}

asio::awaitable<void> end_backend(int pid) {
    auto other = co_await bitdotio::connection::open(somebody());
    co_await other.query("SELECT pg_terminate_backend($1, 5000)", pid);
}

TEST_CASE("a session that lives answers a probe and stays as it is, its watch included") {
    test::run([]() -> asio::awaitable<void> {
        const session one = co_await dial(somebody());
        co_await one->script("SET search_path = elsewhere");
        bool died = false;
        std::function<void()> on_death = [&] { died = true; };
        one->watch(std::move(on_death));
        for (int i = 0; i < 3; ++i) {
            const bool alive = co_await one->probe(5s);
            CHECK(alive);
            CHECK(one->status() == session_status::idle);
        }
        co_await end_backend(one->backend_pid());
        asio::steady_timer pause(co_await asio::this_coro::executor);
        for (int turns = 0; turns < 500 && !died; ++turns) {
            pause.expires_after(10ms);
            co_await pause.async_wait(asio::use_awaitable);
        }
        CHECK(died);
        one->close();

        const session other = co_await dial(somebody());
        co_await other->probe(5s);
        const auto answers = co_await other->script("SELECT 1");
        CHECK(answers.at(0).one<int>() == 1);
        other->close();
    });
}

TEST_CASE("a backend that does not answer fails its probe in time, and is cut off") {
    test::run([]() -> asio::awaitable<void> {
        const session one = co_await dial(somebody());
        const int pid = one->backend_pid();
        ::kill(pid, SIGSTOP);
        const auto begin = std::chrono::steady_clock::now();
        const bool alive = co_await one->probe(200ms);
        const auto took = std::chrono::steady_clock::now() - begin;
        ::kill(pid, SIGCONT);
        CHECK_FALSE(alive);
        CHECK(took >= 200ms);
        CHECK(took < 2s);
        CHECK(one->status() == session_status::closed);
    });
}

TEST_CASE("a dead session fails its probe at once, a busy one is left alone") {
    test::run([]() -> asio::awaitable<void> {
        const session one = co_await dial(somebody());
        co_await end_backend(one->backend_pid());
        const bool alive = co_await one->probe(5s);
        CHECK_FALSE(alive);
        CHECK(one->status() == session_status::closed);
        const bool again = co_await one->probe(5s);
        CHECK_FALSE(again);

        const session open = co_await dial(somebody());
        co_await open->script("BEGIN");
        const bool idle = co_await open->probe(5s);
        CHECK_FALSE(idle);
    });
}

}  // namespace
