// What our awaitables return can be awaited by any completion token of Asio, and be empty.
#include "support/run.hpp"

#include <bitdotio/bitdotio.hpp>
#include <bitdotio/cursor.hpp>
#include <bitdotio/large_object.hpp>
#include <bitdotio/listener.hpp>
#include <bitdotio/local_server.hpp>
#include <bitdotio/retry_transaction.hpp>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/use_future.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <future>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace bitdotio;

// All that `asio::awaitable<…>` in include/bitdotio returns.
using returned =
    std::tuple<bitdotio::transaction, bool, bytes, connection, copy_in, copy_out, cursor, database,
               export_job, import_job, issued_key, large_object, listener_event, local_server, oid,
               outcome, pipeline_results, pool_statistics, pooled_connection, query_result, result,
               row_stream, service_account, std::int64_t, std::optional<listener_event>,
               std::optional<row_chunk>, std::optional<std::string>, std::uint64_t,
               std::vector<database>, std::vector<result>, std::vector<service_account>,
               credentials>;

template <class T>
asio::awaitable<T> give(bool well) {
    if (!well) {
        throw error(errc::cancelled, "no");
    }
    co_return T();
}

template <class T>
void expect_any_token() {
    asio::io_context io;
    std::future<T> well = asio::co_spawn(io, give<T>(true), asio::use_future);
    std::future<T> badly = asio::co_spawn(io, give<T>(false), asio::use_future);
    int called = 0;
    for (const bool ends_well : {true, false}) {
        const auto on_end = [&called, ends_well](std::exception_ptr thrown, T) {
            called += (thrown == nullptr) == ends_well;
        };
        asio::co_spawn(io, give<T>(ends_well), on_end);
    }
    io.run();
    well.get();
    CHECK_THROWS_AS(badly.get(), error);
    CHECK(called == 2);
}

TEST_CASE_TEMPLATE_DEFINE("a future and a callback take what awaitables return", T, any_token) {
    expect_any_token<T>();
}
TEST_CASE_TEMPLATE_APPLY(any_token, returned);

template <class Use>
asio::awaitable<void> expect_refused(Use use) {
    std::optional<error> failure;
    try {
        co_await use();
    } catch (const error& thrown) {
        failure = thrown;
    }
    REQUIRE(failure);
    CAPTURE(failure->what());
    CHECK(failure->code() == errc::protocol_violated);
    CHECK(std::string(failure->what()).size() > 20);
}

asio::awaitable<void> transactions(bitdotio::transaction t) {
    CHECK_FALSE(t.is_open());
    CHECK(t.level() == 0);
    auto query = [&]() -> asio::awaitable<void> { co_await t.query("SELECT 1"); };
    co_await expect_refused(query);
    auto script = [&]() -> asio::awaitable<void> { co_await t.script("SELECT 1"); };
    co_await expect_refused(script);
    auto batch = [&]() -> asio::awaitable<void> { co_await t.run(pipeline()); };
    co_await expect_refused(batch);
    auto stream = [&]() -> asio::awaitable<void> { co_await t.stream("SELECT 1"); };
    co_await expect_refused(stream);
    auto copy = [&]() -> asio::awaitable<void> { co_await t.copy_from("COPY t FROM STDIN"); };
    co_await expect_refused(copy);
    auto nest = [&]() -> asio::awaitable<void> { co_await t.begin(); };
    co_await expect_refused(nest);
    auto commit = [&]() -> asio::awaitable<void> { co_await t.commit(); };
    co_await expect_refused(commit);
    auto rollback = [&]() -> asio::awaitable<void> { co_await t.rollback(); };
    co_await expect_refused(rollback);
    auto open = [&]() -> asio::awaitable<void> { co_await cursor::open(t, "SELECT 1"); };
    co_await expect_refused(open);
    auto create = [&]() -> asio::awaitable<void> { co_await large_object::create(t); };
    co_await expect_refused(create);
}

asio::awaitable<void> streams() {
    row_stream rows;
    for (const std::size_t most : {0U, 1U, 1'000U}) {
        auto next = [&]() -> asio::awaitable<void> { co_await rows.next(most); };
        co_await expect_refused(next);
    }
    copy_in in;
    auto write = [&]() -> asio::awaitable<void> { co_await in.write("1\n"); };
    co_await expect_refused(write);
    auto row = [&]() -> asio::awaitable<void> { co_await in.write_row(1); };
    co_await expect_refused(row);
    auto finish = [&]() -> asio::awaitable<void> { co_await in.finish(); };
    co_await expect_refused(finish);
    auto cancel = [&]() -> asio::awaitable<void> { co_await in.cancel("no"); };
    co_await expect_refused(cancel);
    copy_out out;
    auto piece = [&]() -> asio::awaitable<void> { co_await out.next(); };
    co_await expect_refused(piece);
    auto typed = [&]() -> asio::awaitable<void> { co_await out.next_row<int>(); };
    co_await expect_refused(typed);
}

asio::awaitable<void> portals() {
    cursor rows;
    CHECK(rows.name().empty());
    for (const std::size_t count : {0U, 1U}) {
        auto fetch = [&]() -> asio::awaitable<void> { co_await rows.fetch(count); };
        co_await expect_refused(fetch);
        auto back = [&]() -> asio::awaitable<void> { co_await rows.fetch_backward(count); };
        co_await expect_refused(back);
        auto move = [&]() -> asio::awaitable<void> {
            co_await rows.move(static_cast<std::int64_t>(count));
        };
        co_await expect_refused(move);
    }
    auto close = [&]() -> asio::awaitable<void> { co_await rows.close(); };
    co_await expect_refused(close);
    large_object object;
    auto read = [&]() -> asio::awaitable<void> { co_await object.read(0); };
    co_await expect_refused(read);
    auto write = [&]() -> asio::awaitable<void> { co_await object.write(bytes()); };
    co_await expect_refused(write);
    auto seek = [&]() -> asio::awaitable<void> { co_await object.seek(0); };
    co_await expect_refused(seek);
    auto tell = [&]() -> asio::awaitable<void> { co_await object.tell(); };
    co_await expect_refused(tell);
    auto truncate = [&]() -> asio::awaitable<void> { co_await object.truncate(0); };
    co_await expect_refused(truncate);
    auto end = [&]() -> asio::awaitable<void> { co_await object.close(); };
    co_await expect_refused(end);
}

asio::awaitable<void> connections() {
    pooled_connection lent;
    auto query = [&]() -> asio::awaitable<void> { co_await lent->query("SELECT 1"); };
    co_await expect_refused(query);
    lent.release();
    connection own;
    CHECK_FALSE(own.is_open());
    CHECK(own.backend_pid() == 0);
    auto begin = [&]() -> asio::awaitable<void> { co_await own.begin(); };
    co_await expect_refused(begin);
    co_await own.close();
}

asio::awaitable<void> servers() {
    local_server none;
    const database_name name = "local/db";
    auto url = [&]() -> asio::awaitable<void> {
        none.api_url();
        co_return;
    };
    co_await expect_refused(url);
    auto port = [&]() -> asio::awaitable<void> {
        none.postgres_port();
        co_return;
    };
    co_await expect_refused(port);
    auto options = [&]() -> asio::awaitable<void> {
        none.client_options();
        co_return;
    };
    co_await expect_refused(options);
    auto sleep = [&]() -> asio::awaitable<void> { co_await none.sleep(name); };
    co_await expect_refused(sleep);
    auto wake = [&]() -> asio::awaitable<void> { co_await none.wake(name); };
    co_await expect_refused(wake);
    auto refuse = [&]() -> asio::awaitable<void> { co_await none.refuse_next(1); };
    co_await expect_refused(refuse);
    auto remove = [&]() -> asio::awaitable<void> { co_await none.remove_account("x"); };
    co_await expect_refused(remove);
    auto reload = [&]() -> asio::awaitable<void> { co_await none.reload_certificate(); };
    co_await expect_refused(reload);
    auto count = [&]() -> asio::awaitable<void> { co_await none.accepted_connections(); };
    co_await expect_refused(count);
    co_await none.stop();
}

TEST_CASE("what is empty says so when it is used") {
    test::run(transactions(bitdotio::transaction()));
    test::run(streams());
    test::run(portals());
    test::run(connections());
    test::run(servers());
}

}  // namespace
