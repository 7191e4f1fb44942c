// Packets that are really dropped, and names that really change, in networks and files that only
// these tests see.
#include "fault/parked_clients.hpp"
#include "fault/place_writes.hpp"
#include "support/invariants.hpp"
#include "support/namespaces.hpp"
#include "support/postgres.hpp"
#include "support/run.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <doctest/doctest.h>

#include <libpq-fe.h>

#include <functional>
#include <memory>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connect_options;
using bitdotio::connection;
using bitdotio::errc;
using std::chrono::steady_clock;
using test::cable;
using test::fault_ending;
using test::fault_place;
using test::ledger;
using test::moment;
using test::private_names;
using test::private_postgres;

constexpr const char* ours = "bitdotio";
constexpr auto statement_timeout = 500ms;
constexpr auto cancel_timeout = 200ms;
constexpr int cases = 6;

const std::vector<fault_place> places(std::begin(test::parked_places),
                                      std::end(test::parked_places));

// A client that gives up as most do: it closes its socket and leaves the rest to the kernel.
class plain_client {
public:
    explicit plain_client(const private_postgres& server)
        : conn_(PQconnectdb(("host=" + std::string(cable::server_address) +
                             " port=" + std::to_string(server.port()) +
                             " user=postgres dbname=postgres sslmode=disable "
                             "application_name=plain")
                                .c_str()),
                PQfinish) {
        REQUIRE(PQstatus(conn_.get()) == CONNECTION_OK);
    }

    void send_and_close(const char* sql) {
        REQUIRE(PQsendQuery(conn_.get(), sql) == 1);
        while (PQflush(conn_.get()) == 1) {
        }
        conn_.reset();
    }

private:
    std::unique_ptr<PGconn, decltype(&PQfinish)> conn_;
};

asio::awaitable<void> until_there(connection& direct, std::string table) {
    const auto deadline = steady_clock::now() + 20s;
    const bitdotio::statement count("SELECT count(*) FROM " + table);
    bool there = false;
    while (!there) {
        REQUIRE(steady_clock::now() < deadline);
        co_await test::rest(10ms);
        const auto answer = co_await direct.query(count);
        there = answer.one<int>() > 0;
    }
}

connect_options through(const private_postgres& server) {
    connect_options options = server.over_tcp("postgres", "");
    options.hosts = {{cable::server_address, server.port()}};
    options.statement_timeout = statement_timeout;
    options.cancel_timeout = cancel_timeout;
    options.connect_timeout = 1s;
    return options;
}

connect_options past(const private_postgres& server) {
    connect_options options = server.superuser();
    options.application_name = "direct";
    return options;
}

struct loss {
    std::string name;
    bool hides_replies;
    std::function<void(const cable&)> inject;
};

const loss losses[] = {
    {"packets dropped both ways", true,
     [](const cable& link) {
         link.drop_requests();
         link.drop_replies();
     }},
    {"packets dropped, requests", false, [](const cable& link) { link.drop_requests(); }},
    {"packets dropped, replies", true, [](const cable& link) { link.drop_replies(); }},
};

// All clients give up while nothing passes; then the network heals. What a plain client had sent
// arrives then, late; what ours had sent does not.
asio::awaitable<void> drop_packets(const cable& link, private_postgres& server, const loss& what,
                                   moment when) {
    server.run("TRUNCATE ledger, control");
    plain_client control(server);
    bitdotio::pool_options limits;
    limits.max_size = places.size();
    bitdotio::pool pool(co_await asio::this_coro::executor, through(server), limits);
    ledger book;
    test::place_figures figures;
    const std::function<asio::awaitable<void>()> inject = [&]() -> asio::awaitable<void> {
        what.inject(link);
        control.send_and_close("INSERT INTO control VALUES (1)");
        co_return;
    };
    const auto ends = co_await test::play(pool, book, places, when, past(server), inject);
    for (const fault_ending& end : ends) {
        test::expect_silence(end, statement_timeout + cancel_timeout + 1s);
        figures.add(end, book);
    }
    connection direct = co_await connection::open(past(server));
    const auto before = co_await direct.query("SELECT count(*) FROM ledger");
    link.heal();
    co_await until_there(direct, "control");
    // No session of ours is left at the server, so nothing more can arrive.
    const auto deadline = steady_clock::now() + 20s;
    std::size_t left = 1;
    while (left > 0) {
        REQUIRE(steady_clock::now() < deadline);
        co_await test::rest(10ms);
        left = co_await test::backends_of(direct, ours);
    }
    const auto after = co_await direct.query("SELECT count(*) FROM ledger");
    CHECK(after.one<int>() == before.one<int>());
    CHECK_FALSE(co_await test::write_one(pool, book));
    const auto counts = co_await pool.statistics();
    co_await test::expect_at_rest(pool);
    co_await test::expect_gone(pool, direct, ours);
    const test::verdict found = co_await test::check(book, direct);
    test::expect_clean(found);
    figures.report(22, what.name, when, found, counts.retried);
    co_await direct.close();
}

asio::awaitable<void> heal_later(const cable& link) {
    co_await test::rest(300ms);
    link.heal();
}

// A client that waits longer than the network is broken notices only a delay.
asio::awaitable<void> drop_for_a_moment(const cable& link, private_postgres& server) {
    server.run("TRUNCATE ledger");
    connect_options options = through(server);
    options.statement_timeout = 20s;
    bitdotio::pool pool(co_await asio::this_coro::executor, options);
    ledger book;
    test::place_figures figures;
    const std::function<asio::awaitable<void>()> inject = [&]() -> asio::awaitable<void> {
        link.drop_requests();
        link.drop_replies();
        const auto executor = co_await asio::this_coro::executor;
        asio::co_spawn(executor, heal_later(link), asio::detached);
    };
    const auto ends =
        co_await test::play(pool, book, places, moment::resting, past(server), inject);
    for (const fault_ending& end : ends) {
        INFO(end.text());
        CHECK_FALSE(end.failure);
        figures.add(end, book);
    }
    const auto counts = co_await pool.statistics();
    CHECK(counts.replaced == 0);
    co_await test::expect_at_rest(pool);
    connection direct = co_await connection::open(past(server));
    co_await test::expect_gone(pool, direct, ours);
    const test::verdict found = co_await test::check(book, direct);
    test::expect_clean(found);
    figures.report(22, "packets dropped for 300 ms", moment::resting, found, counts.retried);
    co_await direct.close();
}

std::unique_ptr<private_postgres> server_at(const cable& link) {
    std::unique_ptr<private_postgres> server;
    link.at_server([&] {
        test::private_postgres_options options;
        options.hba = "host all all 198.18.77.0/30 trust\n";
        // Soon after the network has healed the server probes whether its clients are still there.
        options.settings =
            "listen_addresses = '198.18.77.1'\ntcp_keepalives_idle = 3\n"
            "tcp_keepalives_interval = 1\ntcp_keepalives_count = 3\n";
        server = std::make_unique<private_postgres>(options);
    });
    server->run(std::string(test::parking_schema) + "; CREATE TABLE control (key integer)");
    return server;
}

TEST_CASE("what was given up on a road without packets never runs late, when the road has healed") {
    if (!test::has_namespaces(cases)) {
        return;
    }
    const cable link;
    const auto server = server_at(link);
    link.at_client([&] {
        for (const loss& what : losses) {
            CAPTURE(what.name);
            for (const moment when : {moment::resting, moment::under_way}) {
                CAPTURE(test::to_string(when));
                if (when == moment::under_way && !what.hides_replies) {
                    continue;  // the requests have arrived
                }
                test::run(drop_packets(link, *server, what, when));
            }
        }
        test::run(drop_for_a_moment(link, *server));
    });
}

constexpr const char* name = "database.test";
constexpr std::size_t callers = 21;

asio::awaitable<void> write_everywhere(bitdotio::pool pool, ledger& book) {
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        const auto failure = co_await test::write_at(places[i % places.size()], pool, book);
        INFO(std::string(failure ? failure->what() : ""));
        CHECK_FALSE(failure);
    };
    test::expect_none(co_await test::gather(callers, one));
}

asio::awaitable<std::string> address_met(bitdotio::pool pool) {
    const auto answer = co_await pool.query("SELECT host(inet_server_addr())");
    co_return answer.one<std::string>();
}

void report(int fault, const char* what, const ledger& book, const test::verdict& found,
            std::uint64_t retried, steady_clock::duration slowest) {
    test::figures figures;
    figures.runs = callers;
    figures.writes = book.counts();
    figures.violations = found.violations.size();
    figures.retried = retried;
    figures.slowest = std::chrono::duration_cast<std::chrono::milliseconds>(slowest);
    test::report(fault, what,
                 "pool.query, lease, transaction, pipeline, COPY, row stream, connecting", figures);
}

// Callers come while the name cannot be resolved; then it can.
asio::awaitable<void> find_the_name(const private_names& names, private_postgres& server) {
    connect_options options = server.over_tcp("postgres", "");
    options.hosts = {{name, server.port()}};
    bitdotio::pool_options limits;
    limits.max_size = 5;
    bitdotio::pool pool(co_await asio::this_coro::executor, options, limits);
    connection direct = co_await connection::open(past(server));
    ledger book;
    steady_clock::time_point found_at;
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == 0) {
            co_await write_everywhere(pool, book);
            co_return;
        }
        auto now = co_await pool.statistics();
        while (now.waiting < callers || now.connects < 3) {
            co_await test::rest(5ms);
            now = co_await pool.statistics();
        }
        CHECK(now.waking);
        CHECK(now.connecting <= 1);
        names.set(name, "127.0.0.1");
        found_at = steady_clock::now();
    };
    test::expect_none(co_await test::gather(2, one));
    const auto woken = steady_clock::now() - found_at;
    CHECK((co_await address_met(pool)) == "127.0.0.1");
    auto counts = co_await pool.statistics();
    CHECK(counts.connects <= 20 + limits.max_size);
    const test::verdict first = co_await test::check(book, direct);
    test::expect_clean(first);
    report(39, "name not found, then found", book, first, counts.retried, woken);

    // The database moves: its connections end, and its name resolves to another address.
    ledger later;
    co_await direct.query("TRUNCATE ledger");
    names.set(name, "127.0.0.2");
    server.run(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = "
        "'bitdotio' AND pid <> pg_backend_pid()");
    const auto moved_at = steady_clock::now();
    co_await write_everywhere(pool, later);
    const auto moved = steady_clock::now() - moved_at;
    CHECK((co_await address_met(pool)) == "127.0.0.2");
    counts = co_await pool.statistics();
    co_await test::expect_at_rest(pool);
    co_await test::expect_gone(pool, direct, ours);
    const test::verdict second = co_await test::check(later, direct);
    test::expect_clean(second);
    report(39, "name with another address", later, second, counts.retried, moved);
    co_await direct.close();
}

TEST_CASE("a name that is not found for now is waited for, and a changed address is gone to") {
    if (!test::has_namespaces(1)) {
        return;
    }
    test::private_postgres_options options;
    options.hba = "host all all 127.0.0.0/8 trust\n";
    options.settings = "listen_addresses = '127.0.0.1, 127.0.0.2'\n";
    private_postgres server(options);
    server.run(ledger::create);
    private_names names;
    names.run([&] { test::run(find_the_name(names, server)); });
}

}  // namespace
