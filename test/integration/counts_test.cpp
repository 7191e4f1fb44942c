// Counts and sizes that callers give: nothing, one, and the largest there is.
#include "support/pool_use.hpp"
#include "support/postgres_cluster.hpp"
#include "support/run.hpp"

#include <bitdotio/cursor.hpp>
#include <bitdotio/large_object.hpp>
#include <bitdotio/pool.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace bitdotio;

constexpr std::size_t most = std::numeric_limits<std::size_t>::max();

test::postgres_primary& shared() {
    static test::postgres_primary instance;
    return instance;
}

asio::awaitable<void> stream_rows() {
    connection own = co_await connection::open(shared().connect());
    for (const bool in_transaction : {false, true}) {
        CAPTURE(in_transaction);
        transaction t;
        if (in_transaction) t = co_await own.begin();
        row_stream rows;
        if (in_transaction) {
            rows = co_await t.stream("SELECT generate_series(1, 1000)");
        } else {
            rows = co_await own.stream("SELECT generate_series(1, 1000)");
        }
        for (int time = 0; time < 3; ++time) {
            const auto none = co_await rows.next(0);
            REQUIRE(none);
            CHECK(none->size() == 0);
            CHECK(none->rows_as<int>().empty());
            const auto one = co_await rows.next(1);
            REQUIRE(one);
            CHECK(one->rows_as<int>() == std::vector<int>{time + 1});
        }
        std::size_t left = 0;
        while (const auto all = co_await rows.next(most)) {
            left += all->size();
        }
        CHECK(left == 997);
        CHECK_FALSE(co_await rows.next(0));
        CHECK_FALSE(co_await rows.next(1));
        if (in_transaction) co_await t.commit();
        CHECK((co_await own.query("SELECT 1")).one<int>() == 1);
    }
    // Nothing was read, so that nothing is left behind either.
    {
        row_stream rows = co_await own.stream("SELECT generate_series(1, 1000)");
        co_await rows.next(0);
    }
    CHECK((co_await own.query("SELECT 1")).one<int>() == 1);
}

TEST_CASE("no rows of a stream are none, and not its end") {
    test::run(stream_rows());
}

asio::awaitable<void> fetch_rows() {
    connection own = co_await connection::open(shared().connect());
    transaction t = co_await own.begin();
    cursor forward = co_await cursor::open(t, "SELECT generate_series(1, 10)");
    CHECK((co_await forward.fetch(0)).empty());
    CHECK((co_await forward.fetch(1)).size() == 1);
    CHECK((co_await forward.fetch(0)).empty());
    CHECK(co_await forward.move(0) == 0);
    CHECK((co_await forward.fetch(most)).size() == 9);
    CHECK((co_await forward.fetch(most)).empty());

    constexpr auto far = std::numeric_limits<std::int64_t>::max();
    cursor both = co_await cursor::open_scroll(t, "SELECT generate_series(1, 10)");
    CHECK((co_await both.fetch(3)).size() == 3);
    CHECK((co_await both.fetch_backward(0)).empty());
    CHECK((co_await both.fetch_backward(most)).size() == 2);
    CHECK(co_await both.move(far) == 10);
    CHECK(co_await both.move(-far - 1) == 10);
    CHECK(co_await both.move(2) == 2);
    CHECK(co_await both.move(0) == 0);
    CHECK((co_await both.fetch(1)).one<int>() == 3);
    co_await t.commit();
}

TEST_CASE("a cursor fetches nothing, and as much as there is") {
    test::run(fetch_rows());
}

asio::awaitable<void> read_bytes() {
    connection own = co_await connection::open(shared().connect());
    transaction t = co_await own.begin();
    const oid number = co_await large_object::create(t);
    large_object object = co_await large_object::open(t, number, large_object::mode::read_write);
    CHECK((co_await object.read(most)).empty());
    constexpr std::size_t size = (16 << 20) + 5;
    bytes data(size, std::byte{7});
    data.back() = std::byte{8};
    co_await object.write(data);
    co_await object.seek(0);
    CHECK((co_await object.read(0)).empty());
    const bytes first = co_await object.read(1);
    CHECK(first == bytes(1, std::byte{7}));
    const bytes rest = co_await object.read(most);
    CHECK(rest.size() == size - 1);
    CHECK(rest.back() == std::byte{8});
    CHECK((co_await object.read(most)).empty());
    co_await object.seek(0);
    CHECK((co_await object.read(size)).size() == size);
    co_await t.rollback();
}

TEST_CASE("a large object is read to its end, however much is asked for") {
    test::run(read_bytes());
}

asio::awaitable<void> caches() {
    static constexpr std::size_t sizes[] = {0, 1, most};
    for (const std::size_t size : sizes) {
        for (const std::size_t length : sizes) {
            connect_options options = shared().connect();
            options.statement_cache_size = size;
            options.statement_cache_max_length = length;
            connection own = co_await connection::open(options);
            for (int time = 0; time < 3; ++time) {
                CHECK((co_await own.query("SELECT $1::int", time)).one<int>() == time);
                CHECK((co_await own.query("SELECT $1::int + 1", time)).one<int>() == time + 1);
            }
        }
    }
}

TEST_CASE("a cache of any size keeps statements right") {
    test::run(caches());
}

asio::awaitable<void> results() {
    connection own = co_await connection::open(shared().connect());
    const auto refused = co_await test::failure_of(own, statement("SELECT 1").largest_result(0));
    REQUIRE(refused);
    CHECK(refused->code() == errc::result_too_large);
    const auto one = co_await test::failure_of(own, statement("SELECT 1").largest_result(1));
    REQUIRE(one);
    CHECK(one->code() == errc::result_too_large);
    co_await own.query(statement("SET work_mem = '4MB'").largest_result(0));
    const result all = co_await own.query(statement("SELECT 1").largest_result(most));
    CHECK(all.one<int>() == 1);
}

TEST_CASE("a result may be limited to nothing, and to as much as there can be") {
    test::run(results());
}

asio::awaitable<void> pool_sizes() {
    pool_options options;
    options.max_size = most;
    options.max_connecting = most;
    options.max_waiters = most;
    pool large(co_await asio::this_coro::executor, shared().connect(), options);
    auto one = [&](std::size_t) -> asio::awaitable<void> { co_await large.query("SELECT 1"); };
    test::expect_none(co_await test::gather(10, one));
    large.resize(0, 1);
    test::expect_none(co_await test::gather(10, one));
    co_await large.close();
    CHECK_THROWS_AS(large.resize(0, 0), error);
    CHECK_THROWS_AS(large.resize(most, most), error);
}

TEST_CASE("a pool may have one connection, or any number") {
    test::run(pool_sizes());
}

}  // namespace
