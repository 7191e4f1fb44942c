// The first row from a database that has fallen asleep by itself: TASKS callers at once, again and
// again for SECONDS.
#include "contract.hpp"

#include <bitdotio/bitdotio.hpp>
#include <bitdotio/local_server.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

using namespace bench;
namespace asio = boost::asio;

namespace {

asio::awaitable<void> ask(bitdotio::pool pool) {
    co_await pool.query("SELECT 1");
}

asio::awaitable<void> crowd(bitdotio::pool pool, std::size_t tasks) {
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer ended(executor, clock::time_point::max());
    std::size_t left = tasks;
    for (std::size_t task = 0; task < tasks; ++task) {
        asio::co_spawn(executor, ask(pool), [&](const std::exception_ptr& failure) {
            if (failure) std::abort();
            if (--left == 0) ended.cancel();
        });
    }
    boost::system::error_code ignored;
    co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

asio::awaitable<void> measure_wakes(const request& asked, measure& total) {
    const auto executor = co_await asio::this_coro::executor;
    bitdotio::local_server_options options;
    options.durable = false;
    options.call_burst = 10'000;
    options.idle_session_timeout = std::chrono::milliseconds(50);
    options.sleep_after = std::chrono::milliseconds(10);
    bitdotio::local_server server = co_await bitdotio::local_server::start(options);
    bitdotio::client client(executor, server.client_options());
    const bitdotio::database made = co_await client.create_database("wakes");
    bitdotio::pool pool = client.pool(made.name);
    co_await pool.query("SELECT 1");
    total.begin();
    const auto until = clock::now() + asked.seconds;
    do {
        co_await server.wait_until_asleep(made.name);
        const auto now = clock::now();
        co_await crowd(pool, asked.tasks);
        total.took(now);
    } while (clock::now() < until);
    total.end();
    co_await client.close();
    co_await server.stop();
}

}  // namespace

int main(int count, char** words) {
    const request asked = request::from(count, words);
    asio::io_context io(1);
    measure total;
    auto done = asio::co_spawn(io, measure_wakes(asked, total), asio::use_future);
    io.run();
    done.get();
    total.print(0);
}
