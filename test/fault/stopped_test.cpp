// Backends stopped by a signal: alive for the network, and unable to act on cancel requests.
#include "fault/parked_clients.hpp"
#include "support/invariants.hpp"
#include "support/postgres_cluster.hpp"
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <signal.h>

#include <functional>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using test::fault_ending;
using test::fault_place;
using test::ledger;
using test::moment;
using test::postgres_primary;

constexpr const char* ours = "bitdotio";
constexpr auto statement_timeout = 1'500ms;
constexpr auto cancel_timeout = 300ms;

asio::awaitable<void> stop_all(postgres_primary& server, moment when) {
    server.execute("TRUNCATE ledger");
    bitdotio::connect_options options = server.connect();
    options.statement_timeout = statement_timeout;
    options.cancel_timeout = cancel_timeout;
    bitdotio::pool_options limits;
    limits.max_size = std::size(test::parked_places);
    bitdotio::pool pool(co_await asio::this_coro::executor, options, limits);
    ledger book;
    test::place_figures figures;
    std::vector<int> stopped;
    const std::function<asio::awaitable<void>()> inject = [&]() -> asio::awaitable<void> {
        std::function<void()> verb = [&] {
            stopped = server.backends(ours);
            for (const int backend : stopped) {
                ::kill(backend, SIGSTOP);
            }
        };
        co_await test::elsewhere(std::move(verb));
    };
    bitdotio::connect_options direct = server.connect();
    direct.application_name = "direct";
    const std::vector<fault_place> places(std::begin(test::parked_places),
                                          std::end(test::parked_places));
    const auto ends = co_await test::play(pool, book, places, when, direct, inject);
    for (const fault_ending& end : ends) {
        // No cancellation is acknowledged; the slack is for many clients on one thread.
        test::expect_silence(end, statement_timeout + cancel_timeout + 1s);
        figures.add(end, book);
    }
    // The stopped backends are still there, and no caller waits for them.
    CHECK_FALSE(co_await test::write_one(pool, book));
    co_await test::expect_at_rest(pool);
    const auto counts = co_await pool.statistics();
    for (const int backend : stopped) {
        ::kill(backend, SIGCONT);
    }
    bitdotio::connection after = co_await bitdotio::connection::open(direct);
    co_await test::expect_gone(pool, after, ours);
    const test::verdict found = co_await test::check(book, after);
    test::expect_clean(found);
    figures.report(14, "backend stopped by SIGSTOP", when, found, counts.retried);
    co_await after.close();
}

}  // namespace

TEST_CASE("a backend that answers nothing costs its client the deadlines, and nobody else") {
    postgres_primary server;
    server.execute(std::string("SET ROLE tester; ") + test::parking_schema);
    const test::descriptor_baseline descriptors;
    for (const moment when : {moment::resting, moment::under_way}) {
        CAPTURE(test::to_string(when));
        test::run(stop_all(server, when));
    }
    descriptors.expect();
}
