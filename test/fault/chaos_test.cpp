// Many clients, random faults, and a history that the table must agree with at the end.
#include "fault/chaos_clients.hpp"
#include "fault/parked_clients.hpp"
#include "support/fault_report.hpp"
#include "support/invariants.hpp"
#include "support/postgres_cluster.hpp"
#include "support/run.hpp"
#include "support/values.hpp"

#include <bitdotio/pool.hpp>

#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <functional>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using test::ledger;
using test::postgres_primary;
using test::stop_mode;

std::uint64_t number_of(const char* variable, std::uint64_t otherwise) {
    const char* const text = std::getenv(variable);
    return text ? std::stoull(text) : otherwise;
}

test::dice chaos_dice() {
    test::dice dice;
    dice.seed = number_of("BITDOTIO_CHAOS_SEED", dice.seed);
    dice.engine.seed(dice.seed);
    MESSAGE("BITDOTIO_CHAOS_SEED=" << dice.seed);
    return dice;
}

constexpr const char* ours = "bitdotio";
constexpr std::size_t max_size = 16;
constexpr std::size_t sharing = 6;  // of these, in the pool whose statements share connections

// Breaks things at random.
class breaker {
public:
    breaker(postgres_primary& server, test::dice& dice) : server_(server), dice_(dice) {}

    /// Breaks something; it works again when this returns.
    void inject() {
        ++faults_;
        CHECK(server_.backends(ours).size() <= max_size);
        switch (dice_.number(1, 11)) {
            case 1: restart(stop_mode::fast); break;
            case 2: restart(stop_mode::immediate); break;
            case 3:
                server_.crash();
                server_.start();
                break;
            case 4:
            case 5: one_of_ours(SIGKILL); break;
            case 6: server_.kill_backends(ours); break;
            case 7:
            case 8: some("pg_terminate_backend"); break;
            case 9:
            case 10: some("pg_cancel_backend"); break;
            case 11: pause(); break;
        }
    }

    std::uint64_t faults() const { return faults_; }

private:
    void restart(stop_mode how) {
        server_.stop(how);
        server_.start();
    }

    void some(const std::string& verb) {
        server_.execute("SELECT " + verb +
                        "(pid) FROM pg_stat_activity WHERE application_name = '" + ours +
                        "' AND random() < 0.4");
    }

    // Killing one backend makes the server restart itself.
    int one_of_ours(int signal) {
        const std::vector<int> backends = server_.backends(ours);
        if (backends.empty()) {
            return 0;
        }
        const auto last = static_cast<std::int64_t>(backends.size()) - 1;
        const int chosen = backends[static_cast<std::size_t>(dice_.number(0, last))];
        if (signal == SIGKILL) {
            server_.kill_hard({chosen});
        } else {
            ::kill(chosen, signal);
        }
        return chosen;
    }

    void pause() {
        const int stopped = one_of_ours(SIGSTOP);
        std::this_thread::sleep_for(std::chrono::milliseconds(dice_.number(1, 50)));
        if (stopped != 0) {
            ::kill(stopped, SIGCONT);
        }
    }

    postgres_primary& server_;
    test::dice& dice_;
    std::uint64_t faults_ = 0;
};

struct chaos {
    test::verdict found;
    test::figures figures;
    std::uint64_t faults = 0;
    std::uint64_t lost = 0;
};

constexpr std::size_t clients = 24;

// `calm` is how many operations may pass between two faults.

asio::awaitable<chaos> run_chaos(postgres_primary& server, test::policy how,
                                 std::uint64_t operations, std::int64_t calm) {
    test::dice choices = chaos_dice();
    test::dice troubles = choices;  // a copy: it is used on another thread
    bitdotio::connect_options direct = server.connect();
    direct.application_name = "direct";
    bitdotio::connection before = co_await bitdotio::connection::open(direct);
    co_await before.query("TRUNCATE ledger, marks");
    co_await before.close();

    bitdotio::pool_options options;
    options.max_size = max_size - sharing;
    bitdotio::pool pool(co_await asio::this_coro::executor, server.connect(), options);
    options.max_size = sharing;
    options.multiplex = bitdotio::multiplexing(2, 16);
    bitdotio::pool shared(co_await asio::this_coro::executor, server.connect(), options);
    ledger book;
    test::chaos_clients alone(pool, book, choices, how, operations / 2);
    test::chaos_clients together(shared, book, choices, how, operations - operations / 2);
    const auto is_over = [&] { return alone.is_over() && together.is_over(); };
    const auto done = [&] { return alone.done() + together.done(); };
    breaker trouble(server, troubles);
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        if (i < clients) {
            co_await (i % 2 == 0 ? alone : together).work();
            co_return;
        }
        while (!is_over()) {
            const auto next = done() + static_cast<std::uint64_t>(choices.number(10, calm));
            while (!is_over() && done() < next) {
                co_await test::rest(3ms);
            }
            std::function<void()> inject = [&] { trouble.inject(); };
            co_await test::elsewhere(std::move(inject));
        }
    };
    test::expect_none(co_await test::gather(clients + 1, one));
    test::expect_none(alone.strange());
    test::expect_none(together.strange());
    CHECK(alone.misread() + together.misread() == 0);

    co_await test::expect_at_rest(pool);
    co_await test::expect_at_rest(shared);
    bitdotio::connection after = co_await bitdotio::connection::open(direct);
    CHECK(co_await test::backends_of(after, ours) <= max_size);
    const auto retried =
        (co_await pool.statistics()).retried + (co_await shared.statistics()).retried;
    co_await shared.close();
    co_await test::expect_gone(pool, after, ours);
    chaos result;
    result.found = co_await test::check(book, after);
    co_await after.close();
    result.faults = trouble.faults();
    result.lost = alone.lost() + together.lost();
    result.figures.runs = operations;
    result.figures.writes = book.counts();
    result.figures.violations = result.found.violations.size();
    result.figures.retried = retried;
    result.figures.slowest = std::max(alone.slowest(), together.slowest());
    MESSAGE(operations << " operations, " << result.faults << " faults, "
                       << result.figures.writes.acknowledged << " writes acknowledged, "
                       << result.figures.writes.not_executed << " not executed, "
                       << result.figures.writes.unknown << " unknown, " << retried
                       << " sent again, " << result.found.count(test::breach::twice)
                       << " there twice, slowest " << result.figures.slowest.count() << " ms");
    co_return result;
}

}  // namespace

TEST_CASE("under random faults no acknowledged write is missing and none is there twice") {
    postgres_primary server;
    server.execute(std::string("SET ROLE tester; ") + test::chaos_clients::schema);
    const test::descriptor_baseline descriptors;
    const std::uint64_t operations = number_of("BITDOTIO_CHAOS_OPERATIONS", 20'000);
    const chaos result = test::run(run_chaos(server, test::policy::contract, operations, 600),
                                   300s + operations * 10ms);
    test::expect_clean(result.found);
    CHECK(result.faults >= operations / 1'000);
    CHECK(result.lost > 0);  // otherwise nothing was tried
    test::report(0, std::to_string(result.faults) + " random faults", "chaos", result.figures);
    descriptors.expect();

    {
        const chaos control = test::run(run_chaos(server, test::policy::naive, 3'000, 100), 200s);
        CHECK(control.found.count(test::breach::twice) > 0);
        test::report(0, std::to_string(control.faults) + " random faults",
                     "negative control: clients that always try again", control.figures);
    }
}
