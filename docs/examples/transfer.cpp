// Moves money from one account to another once, whatever happens to the connection.
#include <bitdotio/bitdotio.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <exception>
#include <iostream>
#include <stdexcept>

namespace asio = boost::asio;
using namespace std::chrono_literals;

// Runs as often as needed; only what its last run wrote is committed.
asio::awaitable<int> move(bitdotio::transaction& t, int from, int to, int amount) {
    const auto left = co_await t.query(
        "UPDATE account SET amount = amount - $2 WHERE id = $1 RETURNING amount", from, amount);
    if (left.one<int>() < 0) {
        throw std::runtime_error("there is not enough in the account");  // ends the tries
    }
    co_await t.execute("UPDATE account SET amount = amount + $2 WHERE id = $1", to, amount);
    co_return left.one<int>();
}

asio::awaitable<void> transfer(bitdotio::client bit) {
    const bitdotio::database database =
        co_await bit.create_database("bank", bitdotio::visibility::private_);
    bitdotio::pool pool = bit.pool(database.name);
    co_await pool.query("CREATE TABLE account (id integer PRIMARY KEY, amount integer)");
    co_await pool.query("INSERT INTO account VALUES (1, 100), (2, 0)");

    bitdotio::transaction_retry_options options;
    options.transaction.isolation = bitdotio::isolation_level::serializable;
    options.transaction.resolvable = true;  // a COMMIT without an answer is asked about
    options.timeout = 30s;
    auto work = [](bitdotio::transaction& t) { return move(t, 1, 2, 30); };
    const int left = co_await bitdotio::retry_transaction(pool, work, options);
    std::cout << left << " are left.\n";

    // Reading twice does no harm, so the pool may repeat it.
    const auto sum = co_await pool.query(
        bitdotio::statement("SELECT sum(amount)::integer FROM account").read_only());
    std::cout << sum.one<int>() << " in all.\n";
    co_await bit.close();
}

int main() {
    try {
        asio::io_context io;
        const bitdotio::client bit(io.get_executor(), bitdotio::client_options());
        std::exception_ptr failure;
        asio::co_spawn(io, transfer(bit), [&](std::exception_ptr thrown) { failure = thrown; });
        io.run();
        if (failure) {
            std::rethrow_exception(failure);
        }
    } catch (const std::exception& failure) {
        std::cerr << "transfer: " << failure.what() << "\n";
        return 1;
    }
}
