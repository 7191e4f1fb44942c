// Many clients, random faults, and a history that the table has to agree with at the end.
#include "fault/spots.hpp"
#include "support/database.hpp"
#include "support/fault_report.hpp"
#include "support/invariants.hpp"
#include "support/postgres_cluster.hpp"
#include "support/values.hpp"

#include <bitdotio/pipeline.hpp>
#include <bitdotio/pool.hpp>

#include <signal.h>

#include <cstdlib>
#include <functional>
#include <set>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::errc;
using bitdotio::outcome;
using std::chrono::steady_clock;
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

/// What clients do about a lost connection.
enum class policy {
    contract,  ///< what the library does, and nothing more
    naive,     ///< the same once more, whatever it was: what many programs do
};

// The server works on it for a while, so that faults meet it there.
constexpr const char* slow_insert = "INSERT INTO ledger SELECT $1::bigint FROM pg_sleep(0.05)";

// However often it runs, it has run once.
const bitdotio::statement marked_insert =
    bitdotio::statement(
        "WITH mark AS (INSERT INTO marks VALUES ($1) ON CONFLICT DO NOTHING RETURNING key) "
        "INSERT INTO ledger SELECT key FROM mark")
        .idempotent();

// The clients: each does one thing after the other, until all have done so many.
class crowd {
public:
    crowd(bitdotio::pool pool, ledger& book, test::dice& dice, policy how, std::uint64_t operations)
        : pool_(std::move(pool)), book_(book), dice_(dice), policy_(how), operations_(operations) {}

    asio::awaitable<void> work() {
        while (begun_ < operations_) {
            ++begun_;
            const auto start = steady_clock::now();
            co_await one_thing();
            ++done_;
            slowest_ = std::max(slowest_, steady_clock::now() - start);
        }
    }

    std::uint64_t done() const { return done_; }
    bool is_over() const { return done_ == operations_; }
    std::uint64_t lost() const { return lost_; }
    std::uint64_t misread() const { return misread_; }
    std::chrono::milliseconds slowest() const {
        return std::chrono::duration_cast<std::chrono::milliseconds>(slowest_);
    }
    /// Errors that no fault explains.
    const std::vector<bitdotio::error>& strange() const { return strange_; }

private:
    asio::awaitable<void> one_thing() {
        const std::int64_t lot = dice_.number(1, 100);
        if (lot <= 40) {
            auto insert = [&](const std::vector<ledger::key>& keys) -> asio::awaitable<void> {
                co_await pool_.query(lot <= 2 ? slow_insert : ledger::insert, keys.front());
            };
            co_await write(1, insert);
        } else if (lot <= 45) {
            auto marked = [&](const std::vector<ledger::key>& keys) -> asio::awaitable<void> {
                co_await pool_.query(marked_insert, keys.front());
            };
            co_await write(1, marked);
        } else if (lot <= 65) {
            co_await read();
        } else if (lot <= 80) {
            auto together = [&](const std::vector<ledger::key>& keys) -> asio::awaitable<void> {
                co_await transact(keys);
            };
            co_await write(static_cast<std::size_t>(dice_.number(2, 4)), together);
        } else if (lot <= 90) {
            co_await pipeline();
        } else if (lot <= 95) {
            auto lease = [&](const std::vector<ledger::key>& keys) -> asio::awaitable<void> {
                bitdotio::pooled_connection lent = co_await pool_.acquire();
                co_await lent->query("SELECT 1");
                co_await lent->query(ledger::insert, keys.front());
            };
            co_await write(1, lease);
        } else {
            auto call = [&](const std::vector<ledger::key>& keys) -> asio::awaitable<void> {
                co_await pool_.query("CALL write_early($1)", keys.front());
            };
            co_await write(1, call);
        }
    }

    // Runs `once(keys)` by the policy and notes how it ended.
    template <class Once>
    asio::awaitable<void> write(std::size_t count, Once& once) {
        const std::vector<ledger::key> keys = book_.open(count);
        for (int time = 0;; ++time) {
            std::optional<bitdotio::error> failure;
            try {
                co_await once(keys);
                book_.acknowledge(keys);
            } catch (const bitdotio::error& thrown) {
                failure = thrown;
            }
            if (failure && tries_again(*failure, time)) {
                continue;
            }
            if (failure) {
                note(*failure);
                book_.fail(keys, failure->outcome());
            }
            co_return;
        }
    }

    // What fails before COMMIT was not executed, whatever is known of its last statement.
    asio::awaitable<void> transact(const std::vector<ledger::key>& keys) {
        std::optional<bitdotio::error> failure;
        std::optional<bitdotio::transaction> open;
        try {
            open.emplace(co_await pool_.begin());
            for (const ledger::key key : keys) {
                co_await open->query(ledger::insert, key);
            }
        } catch (const bitdotio::error& thrown) {
            failure = thrown.with(outcome::not_executed);
        }
        if (failure) {
            throw *failure;
        }
        co_await open->commit();
    }

    // Statements for themselves: each has its own outcome, and the naive one repeats all of them.
    asio::awaitable<void> pipeline() {
        std::vector<ledger::key> keys;
        bitdotio::pipeline batch;
        for (int i = 0; i < 3; ++i) {
            keys.push_back(book_.open());
            batch.add(ledger::insert, keys.back());
        }
        for (int time = 0;; ++time) {
            std::vector<std::optional<bitdotio::error>> failures(keys.size());
            try {
                const auto results = co_await pool_.run(batch);
                for (std::size_t i = 0; i < keys.size(); ++i) {
                    const bitdotio::error* const failure = results.failure(i);
                    failures[i] = failure ? std::optional(*failure) : std::nullopt;
                }
            } catch (const bitdotio::error& failure) {
                failures.assign(keys.size(), failure);
            }
            if (failures.back() && tries_again(*failures.back(), time)) {
                continue;
            }
            for (std::size_t i = 0; i < keys.size(); ++i) {
                if (failures[i]) {
                    note(*failures[i]);
                    book_.fail(keys[i], failures[i]->outcome());
                } else {
                    book_.acknowledge(keys[i]);
                }
            }
            co_return;
        }
    }

    asio::awaitable<void> read() {
        const std::int64_t number = dice_.number(1, 1'000'000);
        try {
            const auto answer = co_await pool_.query("SELECT $1::bigint", number);
            misread_ += answer.one<std::int64_t>() != number;
        } catch (const bitdotio::error& failure) {
            note(failure);
        }
    }

    static bool is_loss(const bitdotio::error& failure) {
        return failure.code() == errc::connection_lost ||
               failure.code() == errc::commit_outcome_unknown;
    }

    bool tries_again(const bitdotio::error& failure, int time) const {
        return policy_ == policy::naive && time == 0 && is_loss(failure);
    }

    void note(const bitdotio::error& failure) {
        lost_ += is_loss(failure);
        if (!is_loss(failure) && failure.sqlstate() != "57014") {
            strange_.push_back(failure);
        }
    }

    bitdotio::pool pool_;
    ledger& book_;
    test::dice& dice_;
    const policy policy_;
    const std::uint64_t operations_;
    std::uint64_t begun_ = 0;
    std::uint64_t done_ = 0;
    std::uint64_t lost_ = 0;
    std::uint64_t misread_ = 0;
    steady_clock::duration slowest_{0};
    std::vector<bitdotio::error> strange_;
};

constexpr const char* ours = "bitdotio";

// Writes, commits, and answers a little later: what is lost then has been done.
constexpr const char* write_early =
    "CREATE PROCEDURE write_early(key bigint) LANGUAGE plpgsql AS $$"
    "  BEGIN INSERT INTO ledger VALUES (key); COMMIT; PERFORM pg_sleep(0.1); END $$";

// What is broken at random.
class breaker {
public:
    breaker(postgres_primary& server, test::dice& dice) : server_(server), dice_(dice) {}

    /// Breaks something; it works again when this returns.
    void strike() {
        ++faults_;
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

    // One backend's end by force makes the server restart itself.
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

asio::awaitable<chaos> run_chaos(postgres_primary& server, policy how, std::uint64_t operations,
                                 std::int64_t calm) {
    test::dice choices = chaos_dice();
    test::dice troubles = choices;  // of their own: they are used on another thread
    bitdotio::connect_options direct = server.connect();
    direct.application_name = "direct";
    bitdotio::connection before = co_await bitdotio::connection::open(direct);
    co_await before.query("TRUNCATE ledger, marks");
    co_await before.close();

    bitdotio::pool_options options;
    options.max_size = 16;
    bitdotio::pool pool(co_await asio::this_coro::executor, server.connect(), options);
    ledger book;
    crowd everybody(pool, book, choices, how, operations);
    breaker trouble(server, troubles);
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        if (i < clients) {
            co_await everybody.work();
            co_return;
        }
        while (!everybody.is_over()) {
            const auto next =
                everybody.done() + static_cast<std::uint64_t>(choices.number(10, calm));
            while (!everybody.is_over() && everybody.done() < next) {
                co_await test::rest(3ms);
            }
            std::function<void()> strike = [&] { trouble.strike(); };
            co_await test::elsewhere(std::move(strike));
        }
    };
    test::expect_none(co_await test::gather(clients + 1, one));
    test::expect_none(everybody.strange());
    CHECK(everybody.misread() == 0);

    co_await test::expect_at_rest(pool);
    bitdotio::connection after = co_await bitdotio::connection::open(direct);
    CHECK(co_await test::backends_of(after, ours) <= options.max_size);
    const auto counts = co_await pool.statistics();
    co_await test::expect_gone(pool, after, ours);
    chaos result;
    result.found = co_await test::check(book, after);
    co_await after.close();
    result.faults = trouble.faults();
    result.lost = everybody.lost();
    result.figures.runs = operations;
    result.figures.writes = book.counts();
    result.figures.violations = result.found.violations.size();
    result.figures.retried = counts.retried;
    result.figures.slowest = everybody.slowest();
    MESSAGE(operations << " operations, " << result.faults << " faults, "
                       << result.figures.writes.acknowledged << " writes acknowledged, "
                       << result.figures.writes.not_executed << " not executed, "
                       << result.figures.writes.unknown << " unknown, " << counts.retried
                       << " sent again, " << result.found.count(test::breach::twice)
                       << " there twice, slowest " << result.figures.slowest.count() << " ms");
    co_return result;
}

// Clients that write and read without a pause, except where they let the database fall asleep.
class sleepers {
public:
    sleepers(bitdotio::pool pool, test::database& db) : pool_(std::move(pool)), db_(db) {}

    asio::awaitable<void> work() {
        while (!over_) {
            while (quiet_) {
                co_await test::rest(1ms);
            }
            co_await test::write_one(pool_, book);
            co_await test::write_together(pool_, book, 2);
            const bitdotio::statement start =
                bitdotio::statement("SELECT pg_postmaster_start_time()::text").read_only();
            const auto answer = co_await pool_.query(start);
            starts.insert(answer.one<std::string>());
            ++turns_;
        }
    }

    // One cycle in ten it falls asleep by itself, for want of connections; in the others it is put
    // to sleep under the statements.
    asio::awaitable<void> put_to_sleep(int cycles) {
        for (int cycle = 0; cycle < cycles; ++cycle) {
            const std::size_t before = turns_;
            while (turns_ < before + 5) {
                co_await test::rest(1ms);
            }
            quiet_ = cycle % 10 == 0;
            if (quiet_) {
                co_await db_.server.server().wait_until_asleep(db_.name);
            } else {
                co_await db_.server.server().sleep(db_.name);
            }
            quiet_ = false;
        }
        over_ = true;
    }

    ledger book;
    std::set<std::string> starts;  // of the database's server

private:
    bitdotio::pool pool_;
    test::database& db_;
    std::size_t turns_ = 0;
    bool quiet_ = false;
    bool over_ = false;
};

}  // namespace

TEST_CASE("under random faults no acknowledged write is missing and none is there twice") {
    postgres_primary server;
    server.execute(std::string("SET ROLE tester; ") + ledger::create + "; " + write_early +
                   "; CREATE TABLE marks (key bigint PRIMARY KEY)");
    const test::descriptor_baseline descriptors;
    const std::uint64_t operations = number_of("BITDOTIO_CHAOS_OPERATIONS", 50'000);
    const chaos result =
        test::run(run_chaos(server, policy::contract, operations, 900), 100s + operations * 10ms);
    test::expect_clean(result.found);
    CHECK(result.faults >= operations / 1'000);
    CHECK(result.lost > 0);  // else nothing was tried
    test::report(0, std::to_string(result.faults) + " random faults", "chaos", result.figures);
    descriptors.expect();

    {
        const chaos control = test::run(run_chaos(server, policy::naive, 3'000, 100), 200s);
        CHECK(control.found.count(test::breach::twice) > 0);
        test::report(0, std::to_string(control.faults) + " random faults",
                     "negative control: clients that always try again", control.figures);
    }
}

TEST_CASE("across 100 sleeps and wakes no write is lost or doubled, and reads notice nothing") {
    bitdotio::local_server_options sleepy;
    sleepy.sleep_after = 20ms;
    test::database db(sleepy);
    const test::descriptor_baseline descriptors;
    const auto work = [&]() -> asio::awaitable<void> {
        constexpr std::size_t workers = 6;
        bitdotio::pool_options options;
        options.max_size = 4;
        options.idle_timeout = 20ms;
        bitdotio::pool pool(co_await asio::this_coro::executor, db.connect, options);
        co_await pool.query(ledger::create);
        sleepers all(pool, db);
        auto one = [&](std::size_t i) -> asio::awaitable<void> {
            return i < workers ? all.work() : all.put_to_sleep(105);
        };
        test::expect_none(co_await test::gather(workers + 1, one));
        CHECK(all.starts.size() > 100);
        const auto counts = co_await pool.statistics();
        co_await pool.close();
        bitdotio::connection after = co_await bitdotio::connection::open(db.connect);
        const test::verdict found = co_await test::check(all.book, after);
        test::expect_clean(found);
        co_await after.close();
        test::figures figures;
        figures.runs = all.starts.size();
        figures.writes = all.book.counts();
        figures.violations = found.violations.size();
        figures.retried = counts.retried;
        MESSAGE(all.starts.size() << " starts, " << counts.wakes << " wakes met, "
                                  << figures.writes.acknowledged << " writes acknowledged, "
                                  << figures.writes.unknown << " unknown, " << counts.retried
                                  << " sent again");
        test::report(0, "the database falls asleep and wakes", "chaos", figures);
    };
    test::run(work(), 200s);
    descriptors.expect();
}
