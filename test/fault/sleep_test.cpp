// A database that falls asleep again and again, by itself and under its clients' statements.
#include "support/database.hpp"
#include "support/fault_report.hpp"
#include "support/invariants.hpp"

#include <bitdotio/pool.hpp>

#include <doctest/doctest.h>

#include <set>
#include <string>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using test::ledger;

// Clients that write and read without a pause, except while they let the database fall asleep.
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

    // In one cycle of ten it falls asleep by itself, because nobody is connected; in the others it
    // is put to sleep while statements run.
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
    std::set<std::string> starts;  // start times of the database's server

private:
    bitdotio::pool pool_;
    test::database& db_;
    std::size_t turns_ = 0;
    bool quiet_ = false;
    bool over_ = false;
};

}  // namespace

TEST_CASE("across 100 sleeps and wakes no write is lost or doubled, and reads notice nothing") {
    bitdotio::local_server_options sleepy;
    sleepy.sleep_after = 20ms;
    test::database db(sleepy);
    const test::descriptor_baseline descriptors;
    test::run(200s, [&]() -> asio::awaitable<void> {
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
    });
    descriptors.expect();
}
