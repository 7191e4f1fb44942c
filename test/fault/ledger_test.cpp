// The ledger itself: finds each way in which a table can contradict its history.
#include "support/ledger.hpp"
#include "support/database.hpp"
#include "support/invariants.hpp"
#include "support/with_connection.hpp"

namespace {

namespace asio = boost::asio;
using bitdotio::outcome;
using test::breach;
using test::ledger;

template <class Work>
void with_table(Work work) {
    test::database db;
    test::with_connection(db.connect, [&](bitdotio::connection& c) -> asio::awaitable<void> {
        co_await c.query(ledger::create);
        co_await work(c);
        co_await c.close();
    });
}

}  // namespace

TEST_CASE("a history that its table agrees with is clean") {
    with_table([](bitdotio::connection& c) -> asio::awaitable<void> {
        ledger book;
        CHECK_FALSE(co_await test::write_one(c, book));
        CHECK_FALSE(co_await test::write_together(c, book, 3));
        bitdotio::transaction open = co_await c.begin();
        const auto refused = co_await test::write_one(open, book);
        CHECK_FALSE(refused);
        co_await open.commit();
        book.open();  // its outcome is unknown, and it is not there
        const ledger::key done = book.open();
        book.fail(done, outcome::unknown);  // this outcome is unknown too, and it is there
        co_await c.query(ledger::insert, done);
        book.fail(book.open(), outcome::not_sent);
        test::expect_clean(co_await test::check(book, c));
        const test::tally counts = book.counts();
        CHECK(counts.acknowledged == 5);
        CHECK(counts.not_executed == 1);
        CHECK(counts.unknown == 2);
    });
}

TEST_CASE("every contradiction between a history and its table is found") {
    with_table([](bitdotio::connection& c) -> asio::awaitable<void> {
        ledger book;
        book.acknowledge(book.open());  // and never written
        book.fail(book.open(), outcome::executed);
        CHECK_FALSE(co_await test::write_one(c, book));
        co_await c.query(ledger::insert, ledger::key{3});  // again
        const ledger::key refused = book.open();
        book.fail(refused, outcome::not_executed);
        co_await c.query(ledger::insert, refused);
        co_await c.query(ledger::insert, ledger::key{99});
        const auto torn = book.open(2);
        co_await c.query(ledger::insert, torn.front());
        const test::verdict found = co_await test::check(book, c);
        CHECK(found.count(breach::missing) == 2);
        CHECK(found.count(breach::twice) == 1);
        CHECK(found.count(breach::run_anyway) == 1);
        CHECK(found.count(breach::unasked) == 1);
        CHECK(found.count(breach::torn) == 1);
        CHECK(found.violations.size() == 6);
        CHECK(found.text().find("key 3 is there more than once") != std::string::npos);
    });
}

TEST_CASE("a check waits for backends that still write") {
    test::database db;
    test::with_connection(db.connect, [&](bitdotio::connection& c) -> asio::awaitable<void> {
        co_await c.query(ledger::create);
        bitdotio::connection slow = co_await bitdotio::connection::open(db.connect);
        ledger book;
        const ledger::key key = book.open();
        auto both = [&](std::size_t i) -> asio::awaitable<void> {
            if (i == 0) {
                co_await slow.query("INSERT INTO ledger SELECT $1::bigint FROM pg_sleep(0.3)", key);
                book.acknowledge(key);
            } else {
                int begun = 0;
                while (begun == 0) {
                    const auto running = co_await c.query(
                        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT%'");
                    begun = running.one<int>();
                }
                const test::verdict found = co_await test::check(book, c);
                CHECK(found.clean());
                CHECK(book.counts().acknowledged == 1);
            }
        };
        test::expect_none(co_await test::gather(2, both));
    });
}
