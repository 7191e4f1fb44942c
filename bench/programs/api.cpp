// The SDK's calls of the API. DSN is the name of a database; addresses and key are the profile's.
#include "contract.hpp"

#include <bitdotio/client.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <future>

using namespace bench;
namespace asio = boost::asio;

namespace {

struct run {
    request asked;
    clock::time_point until;
    std::vector<measure> measures;
};

constexpr auto select_one = "SELECT 1";
constexpr auto select_many =
    "SELECT i, 'label-' || i AS label, i * 0.5 AS half FROM generate_series(1, 3000) i";

asio::awaitable<std::uint64_t> call(bitdotio::client& client, const request& asked) {
    const bitdotio::database_name name = bitdotio::database_name(asked.dsn);
    if (asked.workload == "get") {
        const bitdotio::database found = co_await client.get_database(name);
        co_return found.id.size();
    }
    if (asked.workload == "list") {
        const std::vector<bitdotio::database> all = co_await client.list_databases();
        co_return all.size();
    }
    const bool one = asked.workload == "query";
    if (!one && asked.workload != "query-rows") not_here();
    const bitdotio::query_result answer =
        co_await client.query(name, one ? select_one : select_many);
    co_return answer.rows.size();
}

asio::awaitable<void> work(bitdotio::client& client, run& all, std::size_t task) {
    for (clock::time_point now = clock::now(); now < all.until;) {
        try {
            co_await call(client, all.asked);
        } catch (const bitdotio::error& failure) {
            std::fprintf(stderr, "%s\n", failure.what());
            all.measures[task].failed();
        }
        const clock::time_point then = clock::now();
        all.measures[task].took(now, then);
        now = then;
    }
}

asio::awaitable<void> all_work(bitdotio::client client, run& all, measure& total,
                               std::uint64_t& sum) {
    sum = co_await call(client, all.asked);
    const auto executor = co_await asio::this_coro::executor;
    all.measures.resize(all.asked.tasks);
    std::vector<std::future<void>> done;
    total.begin();
    all.until = clock::now() + std::chrono::duration_cast<clock::duration>(all.asked.seconds);
    std::size_t left = all.asked.tasks;
    asio::steady_timer ended(executor, clock::time_point::max());
    for (std::size_t task = 0; task < all.asked.tasks; ++task) {
        asio::co_spawn(executor, work(client, all, task), [&](const std::exception_ptr& failure) {
            if (failure) std::abort();
            if (--left == 0) ended.cancel();
        });
    }
    boost::system::error_code ignored;
    if (left) co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    total.end();
    co_await client.close();
}

}  // namespace

int main(int count, char** words) {
    run all{request::from(count, words), {}, {}};
    asio::io_context io(1);
    measure total;
    std::uint64_t sum = 0;
    auto done = asio::co_spawn(io, all_work(bitdotio::client(io.get_executor()), all, total, sum),
                               asio::use_future);
    io.run();
    done.get();
    for (const measure& one : all.measures)
        total.join(one);
    total.print(sum);
}
