// Servers and backends that end, each in its own way, under clients at every place.
#include "fault/parked_clients.hpp"
#include "support/invariants.hpp"
#include "support/postgres_cluster.hpp"
#include "support/run.hpp"

#include <doctest/doctest.h>

#include <functional>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using test::fault_ending;
using test::fault_place;
using test::ledger;
using test::moment;
using test::postgres_primary;
using test::stop_mode;

constexpr const char* ours = "bitdotio";

struct killing {
    int fault;
    std::string name;
    std::function<void(postgres_primary&)> inject;
};

void restart(postgres_primary& server, stop_mode how) {
    server.stop(how);
    server.start();
}

const killing killings[] = {
    {1, "backends terminated", [](auto& server) { server.kill_backends(ours); }},
    {4, "fast stop, start", [](auto& server) { restart(server, stop_mode::fast); }},
    {5, "immediate stop, start", [](auto& server) { restart(server, stop_mode::immediate); }},
    {6, "own backends killed by SIGKILL",
     [](auto& server) { server.kill_hard(server.backends(ours)); }},
    {7, "another backend killed by SIGKILL",
     [](auto& server) { server.kill_hard(server.backends("bystander")); }},
    {8, "postmaster killed by SIGKILL, start",
     [](auto& server) {
         server.crash();
         server.start();
     }},
};

asio::awaitable<void> suffer(postgres_primary& server, const killing& fault, moment when,
                             int rounds) {
    bitdotio::connect_options direct = server.connect();
    direct.application_name = "direct";
    bitdotio::connection before = co_await bitdotio::connection::open(direct);
    co_await before.query("TRUNCATE ledger");
    co_await before.close();

    bitdotio::pool_options options;
    options.max_size = std::size(test::parked_places);
    bitdotio::pool pool(co_await asio::this_coro::executor, server.connect(), options);
    ledger book;
    test::place_figures figures;
    const std::vector<fault_place> places(std::begin(test::parked_places),
                                          std::end(test::parked_places));
    const std::function<asio::awaitable<void>()> inject = [&]() -> asio::awaitable<void> {
        bitdotio::connect_options bystander = server.connect();
        bystander.application_name = "bystander";
        const bitdotio::connection other = co_await bitdotio::connection::open(bystander);
        std::function<void()> verb = [&] { fault.inject(server); };
        co_await test::elsewhere(std::move(verb));
    };
    for (int round = 0; round < rounds; ++round) {
        const auto ends = co_await test::play(pool, book, places, when, direct, inject);
        for (const fault_ending& end : ends) {
            test::expect_loss(end, when);
            figures.add(end, book);
        }
        // The next caller notices nothing.
        CHECK_FALSE(co_await test::write_one(pool, book));
    }
    co_await test::expect_at_rest(pool);
    bitdotio::connection after = co_await bitdotio::connection::open(direct);
    CHECK(co_await test::backends_of(after, ours) <= options.max_size);
    const auto counts = co_await pool.statistics();
    co_await test::expect_gone(pool, after, ours);
    const test::verdict found = co_await test::check(book, after);
    test::expect_clean(found);
    figures.report(fault.fault, fault.name, when, found, counts.retried);
    co_await after.close();
}

}  // namespace

TEST_CASE("whatever ends a connection loses and doubles no write, wherever it comes") {
    postgres_primary server;
    server.execute(std::string("SET ROLE tester; ") + test::parking_schema);
    const test::descriptor_baseline descriptors;
    for (const killing& fault : killings) {
        CAPTURE(fault.name);
        for (const moment when : {moment::resting, moment::under_way}) {
            CAPTURE(test::to_string(when));
            test::run(suffer(server, fault, when, 2), 120s);
        }
    }
    descriptors.expect();
}
