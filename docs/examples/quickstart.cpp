// The first five minutes: makes a database, fills it, queries it, lets it sleep and wakes it.
#include <bitdotio/bitdotio.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace asio = boost::asio;
using namespace std::chrono_literals;

struct person {
    std::string name;
    int age;
};

// Makes the table and inserts five people, all or nothing.
asio::awaitable<void> insert_people(bitdotio::pool pool) {
    bitdotio::transaction transaction = co_await pool.begin();
    co_await transaction.query("CREATE TABLE person (name text, age integer)");
    const std::vector<person> people = {
        {"Alice", 45}, {"Bob", 84}, {"Catherine", 19}, {"Davis", 22}, {"Emily", 34}};
    for (const person& one : people) {
        co_await transaction.query("INSERT INTO person (name, age) VALUES ($1, $2)", one.name,
                                   one.age);
    }
    co_await transaction.commit();
}

// When the database's PostgreSQL was started, which tells whether it slept in between.
asio::awaitable<bitdotio::timestamptz> started(bitdotio::pool pool) {
    const auto answer = co_await pool.query("SELECT pg_postmaster_start_time()");
    co_return answer.one<bitdotio::timestamptz>();
}

// Leaves the database alone until it has fallen asleep, then queries it.
asio::awaitable<void> sleep_and_wake(bitdotio::pool pool) {
    const auto started_before = co_await started(pool);
    std::cout << "Leaving the database alone, so that it falls asleep...\n";
    asio::steady_timer timer(co_await asio::this_coro::executor, 4s);
    co_await timer.async_wait(asio::use_awaitable);

    const auto begin = std::chrono::steady_clock::now();
    const auto answer = co_await pool.query("SELECT count(*) FROM person WHERE age > $1", 30);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    if (co_await started(pool) == started_before) {
        throw std::runtime_error(
            "the database did not fall asleep; is another client connected, "
            "or the server's --sleep-after longer than 3 seconds?");
    }
    std::cout << "It slept. The next statement woke it: " << answer.one<std::int64_t>()
              << " people are older than 30, answered after " << took.count()
              << " ms, and no error was seen.\n";
}

asio::awaitable<void> quickstart(bitdotio::client bit) {
    const bitdotio::database database =
        co_await bit.create_database("my-db", bitdotio::visibility::public_);
    std::cout << "Created the database " << database.name << ".\n";

    bitdotio::pool pool = bit.pool(database.name);
    co_await insert_people(pool);

    const bitdotio::query_result people =
        co_await bit.query(database.name, "SELECT * FROM person", bitdotio::data_format::objects);
    std::cout << people.data_json << "\n";

    co_await sleep_and_wake(pool);
    co_await bit.close();
}

int main() {
    try {
        bitdotio::client_options options;   // key and addresses: environment, then profile
        options.pool.idle_timeout = 300ms;  // short, for this example; the default is 290 s
        asio::io_context io;
        const bitdotio::client bit(io.get_executor(), options);
        std::exception_ptr failure;
        asio::co_spawn(io, quickstart(bit), [&](std::exception_ptr thrown) { failure = thrown; });
        io.run();
        if (failure) {
            std::rethrow_exception(failure);
        }
    } catch (const std::exception& failure) {
        std::cerr << "quickstart: " << failure.what() << "\n";
        return 1;
    }
}
