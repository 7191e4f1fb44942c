// This library's programs.
#include "contract.hpp"

#include <bitdotio/bitdotio.hpp>
#include <bitdotio/copy.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>

#include <atomic>
#include <latch>
#include <memory>
#include <string_view>
#include <thread>

using namespace bench;
namespace asio = boost::asio;

namespace {

struct account {
    std::string name;
    std::int64_t balance;
};

struct entry {
    int id;
    std::string label;
    double amount;
};

// The state of a run: what is asked, until when, and a measure for each task, whatever thread it is
// on.
struct run {
    request asked;
    clock::time_point until;
    std::vector<measure> measures;
};

asio::awaitable<void> selects(bitdotio::pool pool, run& all, std::size_t task) {
    keys key(task);
    for (clock::time_point now = clock::now(); now < all.until;) {
        const bitdotio::result rows = co_await pool.query(select_account, key.next());
        const account found = rows[0].as<account>();
        if (found.name.empty()) all.measures[task].failed();
        const clock::time_point then = clock::now();
        all.measures[task].took(now, then);
        now = then;
    }
}

asio::awaitable<void> batches(bitdotio::pool pool, run& all, std::size_t task,
                              bitdotio::pipeline_sync sync) {
    keys key(task);
    const std::size_t size = all.asked.tasks / all.asked.connections;
    const bitdotio::statement sql(select_account);
    bitdotio::pooled_connection lent = co_await pool.acquire();
    for (clock::time_point now = clock::now(); now < all.until;) {
        bitdotio::pipeline batch(sync);
        for (std::size_t i = 0; i < size; ++i)
            batch.add(sql, key.next());
        const bitdotio::pipeline_results answers = co_await lent->run(std::move(batch));
        const clock::time_point then = clock::now();
        for (std::size_t i = 0; i < size; ++i) {
            if (answers[i][0].as<account>().name.empty()) all.measures[task].failed();
            all.measures[task].took(now, then);
        }
        now = then;
    }
}

asio::awaitable<void> leases(bitdotio::pool pool, run& all, std::size_t task) {
    for (clock::time_point now = clock::now(); now < all.until;) {
        bitdotio::pooled_connection lent = co_await pool.acquire();
        lent.release();
        const clock::time_point then = clock::now();
        all.measures[task].took(now, then);
        now = then;
    }
}

asio::awaitable<void> transactions(bitdotio::pool pool, run& all, std::size_t task) {
    // A row of its own, so that nobody waits for a lock.
    const int id = static_cast<int>(task) + 1;
    const auto work = [id](bitdotio::transaction& open) -> asio::awaitable<void> {
        co_await open.execute(update_account, id);
        const bitdotio::result rows = co_await open.query(select_account, id);
        static_cast<void>(rows[0].as<account>());
    };
    for (clock::time_point now = clock::now(); now < all.until;) {
        co_await pool.transaction(work);
        const clock::time_point then = clock::now();
        all.measures[task].took(now, then);
        now = then;
    }
}

asio::awaitable<void> transactions_at_once(bitdotio::pool pool, run& all, std::size_t task) {
    const int id = static_cast<int>(task) + 1;
    const bitdotio::statement update(update_account);
    const bitdotio::statement select(select_account);
    for (clock::time_point now = clock::now(); now < all.until;) {
        bitdotio::pipeline both;
        both.add(update, id).add(select, id);
        const bitdotio::pipeline_results answers = co_await pool.transaction(std::move(both));
        static_cast<void>(answers[1][0].as<account>());
        const clock::time_point then = clock::now();
        all.measures[task].took(now, then);
        now = then;
    }
}

asio::awaitable<std::uint64_t> stream(bitdotio::pool pool) {
    std::uint64_t sum = 0;
    bitdotio::row_stream rows = co_await pool.stream(select_entries);
    for (;;) {
        const auto chunk = co_await rows.next();
        if (!chunk) break;
        for (const entry& one : chunk->rows_as<entry>()) {
            sum += weight(one.id, one.label.size(), one.amount);
        }
    }
    co_return sum;
}

asio::awaitable<std::uint64_t> copy_out(bitdotio::pool pool) {
    std::uint64_t sum = 0;
    bitdotio::pooled_connection lent = co_await pool.acquire();
    bitdotio::copy_out rows = co_await lent->copy_to(copy_entries);
    for (;;) {
        const auto one = co_await rows.next_row<entry>();
        if (!one) break;
        sum += weight(one->id, one->label.size(), one->amount);
    }
    co_return sum;
}

asio::awaitable<std::uint64_t> copy_in(bitdotio::pool pool) {
    bitdotio::pooled_connection lent = co_await pool.acquire();
    co_await lent->query("DROP TABLE IF EXISTS sink");
    co_await lent->query(make_sink);
    bitdotio::copy_in sink = co_await lent->copy_from(copy_sink);
    for (int id = 1; id <= entries; ++id) {
        const std::string label = label_of(id);
        co_await sink.write_row(id, label, id * 0.5);
    }
    co_await sink.finish();
    const bitdotio::result sum = co_await lent->query(sum_sink);
    co_return static_cast<std::uint64_t>(sum.one<std::int64_t>());
}

// Resident memory, in bytes.
std::uint64_t resident() {
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    unsigned long size = 0;
    unsigned long pages = 0;
    if (std::fscanf(file, "%lu %lu", &size, &pages) != 2) pages = 0;
    std::fclose(file);
    return pages * 4096;
}

asio::awaitable<void> wait_for_turn(bitdotio::pool pool) {
    co_await pool.acquire();
}

asio::awaitable<void> wait_to_ask(bitdotio::pool pool) {
    co_await pool.query(select_account, 1);
}

asio::awaitable<void> wait_for_timer(asio::steady_timer& timer, std::size_t& waiting) {
    boost::system::error_code ignored;
    ++waiting;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

// What a task costs that waits on a pool to acquire or to ask, or on a timer: its bytes are the
// sum.
asio::awaitable<void> waiters(bitdotio::pool pool, const request& asked, std::uint64_t& sum) {
    const auto executor = co_await asio::this_coro::executor;
    std::vector<bitdotio::pooled_connection> lent;
    for (std::size_t i = 0; i < asked.connections; ++i)
        lent.push_back(co_await pool.acquire());
    asio::steady_timer never(executor, clock::time_point::max());
    asio::steady_timer ended(executor, clock::time_point::max());
    const bool bare = asked.workload == "waiters-bare";
    std::size_t on_timer = 0;
    std::size_t left = asked.tasks;
    const auto work = [&] {
        if (bare) return wait_for_timer(never, on_timer);
        return asked.workload == "waiters-query" ? wait_to_ask(pool) : wait_for_turn(pool);
    };
    const std::uint64_t before = resident();
    for (std::size_t task = 0; task < asked.tasks; ++task) {
        asio::co_spawn(executor, work(), [&](const std::exception_ptr& failure) {
            if (failure) std::abort();
            if (--left == 0) ended.cancel();
        });
    }
    // All of them run until they wait.
    for (std::size_t waiting = 0; waiting < asked.tasks;) {
        co_await asio::post(executor, asio::use_awaitable);
        const bitdotio::pool_statistics now = co_await pool.statistics();
        waiting = bare ? on_timer : now.waiting;
    }
    sum = (resident() - before) / asked.tasks;
    lent.clear();
    never.cancel();
    boost::system::error_code ignored;
    if (left) co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

using whole_work = asio::awaitable<std::uint64_t> (*)(bitdotio::pool);

asio::awaitable<void> repeat(bitdotio::pool pool, run& all, whole_work work, std::uint64_t& sum) {
    do {
        const clock::time_point now = clock::now();
        sum = co_await work(pool);
        all.measures[0].took(now);
        all.measures[0].add(entries - 1);  // the rows are counted
    } while (clock::now() < all.until);
}

// The answers to fixed questions; and it opens the connections and prepares the statement.
asio::awaitable<std::uint64_t> first_answers(bitdotio::pool pool) {
    std::uint64_t sum = 0;
    keys key(12'345);
    for (std::size_t i = 0; i < asked_first(); ++i) {
        const bitdotio::result rows = co_await pool.query(select_account, key.next());
        const account found = rows[0].as<account>();
        sum += static_cast<std::uint64_t>(found.balance) + found.name.size();
    }
    co_return sum;
}

// Holds all connections at once, so that all are open.
asio::awaitable<void> open_all(bitdotio::pool pool, std::size_t connections) {
    std::vector<bitdotio::pooled_connection> lent;
    for (std::size_t i = 0; i < connections; ++i) {
        lent.push_back(co_await pool.acquire());
        co_await lent.back()->query(select_account, 1);
    }
}

asio::awaitable<void> close(bitdotio::pool pool) {
    co_await pool.close();
}

bitdotio::pool_options options_for(std::size_t connections) {
    bitdotio::pool_options options;
    options.max_size = connections;
    options.max_connecting = connections;
    options.acquire_timeout = std::chrono::minutes(5);
    return options;
}

// Runs the context until the work is done: a pool's timers would keep it running.
template <class T>
T finished(asio::io_context& io, asio::awaitable<T> work) {
    auto done = asio::co_spawn(io, std::move(work), asio::use_future);
    io.restart();
    while (done.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
        io.run_one();
    return done.get();
}

// Tasks that run at the same time; the context stops when the last has ended.
class crew {
public:
    explicit crew(asio::io_context& io) : io_(io) {}

    void start(asio::awaitable<void> work) {
        ++left_;
        asio::co_spawn(io_, std::move(work), [this](const std::exception_ptr& failure) {
            if (failure) std::rethrow_exception(failure);
            if (--left_ == 0) io_.stop();
        });
    }
    void run(std::size_t threads) {
        io_.restart();
        std::vector<std::thread> others;
        for (std::size_t i = 1; i < threads; ++i)
            others.emplace_back([this] { io_.run(); });
        io_.run();
        for (std::thread& one : others)
            one.join();
    }

private:
    asio::io_context& io_;
    std::atomic<std::size_t> left_{0};
};

// Each thread has an io_context and a pool, with its part of the connections and the tasks.
int run_apart(const request& asked) {
    std::vector<measure> parts(asked.threads);
    std::vector<std::uint64_t> sums(asked.threads);
    std::latch ready(static_cast<std::ptrdiff_t>(asked.threads) + 1);
    const auto one_thread = [&](std::size_t number) {
        run part{asked, {}, {}};
        part.asked.connections /= asked.threads;
        part.asked.tasks /= asked.threads;
        asio::io_context io(1);
        bitdotio::pool pool(io.get_executor(), bitdotio::connect_options::parse(asked.dsn),
                            options_for(part.asked.connections));
        sums[number] = finished(io, first_answers(pool));
        finished(io, open_all(pool, part.asked.connections));
        part.measures.resize(part.asked.tasks);
        ready.arrive_and_wait();
        part.until = clock::now() + std::chrono::duration_cast<clock::duration>(asked.seconds);
        crew tasks(io);
        for (std::size_t task = 0; task < part.asked.tasks; ++task) {
            tasks.start(selects(pool, part, task));
        }
        tasks.run(1);
        for (const measure& one : part.measures)
            parts[number].join(one);
        finished(io, close(pool));
    };
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < asked.threads; ++i)
        threads.emplace_back(one_thread, i);
    measure total;
    ready.arrive_and_wait();
    total.begin();
    for (std::thread& one : threads)
        one.join();
    total.end();
    for (const measure& one : parts)
        total.join(one);
    total.print(sums[0]);
    return 0;
}

}  // namespace

int main(int count, char** words) {
    run all{request::from(count, words), {}, {}};
    const request& asked = all.asked;
    const std::string& workload = asked.workload;
    if (workload == "select-apart") return run_apart(asked);
    asio::io_context io(static_cast<int>(asked.threads));
    bitdotio::pool_options options = options_for(asked.connections);
    if (workload == "multiplexed") {
        const std::size_t each = asked.tasks / asked.connections;
        options.multiplex = bitdotio::multiplexing(asked.connections, each);
    }
    bitdotio::pool pool(io.get_executor(), bitdotio::connect_options::parse(asked.dsn), options);

    if (workload.starts_with("waiters")) {
        std::uint64_t bytes = 0;
        measure total;
        total.begin();
        finished(io, waiters(pool, asked, bytes));
        total.end();
        finished(io, close(pool));
        total.add(asked.tasks);
        total.print(bytes);
        return 0;
    }
    std::uint64_t sum = finished(io, first_answers(pool));
    finished(io, open_all(pool, asked.connections));

    all.measures.resize(asked.tasks);
    crew tasks(io);
    const auto start = [&](asio::awaitable<void> work) { tasks.start(std::move(work)); };
    measure total;
    all.until = clock::now() + std::chrono::duration_cast<clock::duration>(asked.seconds);
    for (std::size_t task = 0; task < asked.tasks; ++task) {
        if (workload == "select" || workload == "multiplexed") {
            start(selects(pool, all, task));
        } else if (workload == "batch-each" || workload == "batch-once") {
            if (task >= asked.connections) break;
            start(batches(pool, all, task,
                          workload == "batch-each" ? bitdotio::pipeline_sync::each_statement
                                                   : bitdotio::pipeline_sync::once));
        } else if (workload == "acquire") {
            start(leases(pool, all, task));
        } else if (workload == "transaction") {
            start(transactions(pool, all, task));
        } else if (workload == "transaction-once") {
            start(transactions_at_once(pool, all, task));
        } else if (workload == "stream" || workload == "copy-out" || workload == "copy-in") {
            start(repeat(pool, all,
                         workload == "stream"     ? stream
                         : workload == "copy-out" ? copy_out
                                                  : copy_in,
                         sum));
            break;
        } else {
            not_here();
        }
    }
    total.begin();
    tasks.run(asked.threads);
    total.end();
    for (const measure& one : all.measures)
        total.join(one);
    total.print(sum);
    finished(io, close(pool));
}
