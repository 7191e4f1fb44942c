// Tests your own service against the faults of a real server, in one process.
#include <bitdotio/bitdotio.hpp>
#include <bitdotio/local_server.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <exception>
#include <iostream>
#include <stdexcept>

namespace asio = boost::asio;
using namespace std::chrono_literals;

// The code under test: any code of yours that is given a client or a pool.
asio::awaitable<int> visits(bitdotio::pool pool) {
    const auto row = co_await pool.query("UPDATE visits SET count = count + 1 RETURNING count");
    co_return row.one<int>();
}

void expect(bool held, const char* what) {
    if (!held) throw std::runtime_error(std::string("not so: ") + what);
    std::cout << what << "\n";
}

asio::awaitable<void> test(bitdotio::local_server& server) {
    bitdotio::client bit(co_await asio::this_coro::executor, server.client_options());
    const bitdotio::database made =
        co_await bit.create_database("shop", bitdotio::visibility::private_);
    const bitdotio::pool pool = bit.pool(made.name);
    co_await bit.query(made.name, "CREATE TABLE visits (count integer)");
    co_await bit.query(made.name, "INSERT INTO visits VALUES (0)");

    co_await server.sleep(made.name);
    int count = co_await visits(pool);
    expect(count == 1, "a sleeping database is woken by the next statement");

    co_await server.hang_up(made.name);
    co_await server.refuse_next(2);
    count = co_await visits(pool);
    expect(count == 2, "cut connections are replaced, refused ones tried again");

    co_await server.delay(made.name, 200ms);
    const auto begin = std::chrono::steady_clock::now();
    count = co_await visits(pool);
    const auto taken = std::chrono::steady_clock::now() - begin;
    expect(count == 3 && taken >= 200ms, "a slow network makes it slow, and nothing else");
    co_await bit.close();
}

asio::awaitable<void> run() {
    // Temporary, on free ports: tests run side by side, and nothing is left behind.
    bitdotio::local_server server = co_await bitdotio::local_server::start({});
    std::exception_ptr failure;
    try {
        co_await test(server);
    } catch (...) {
        failure = std::current_exception();
    }
    co_await server.stop();
    if (failure) {
        std::rethrow_exception(failure);
    }
}

int main() {
    try {
        asio::io_context io;
        std::exception_ptr failure;
        asio::co_spawn(io, run(), [&](std::exception_ptr thrown) { failure = thrown; });
        io.run();
        if (failure) {
            std::rethrow_exception(failure);
        }
    } catch (const std::exception& failure) {
        std::cerr << "against_faults: " << failure.what() << "\n";
        return 1;
    }
}
