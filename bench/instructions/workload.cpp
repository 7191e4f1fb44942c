// One kind of work, many times: what bench/instructions/run counts instructions of.
//
//   workload KIND COUNT DSN
//
// prints how often the program allocated memory while it did the work, libpq included.
#include <bitdotio/copy.hpp>
#include <bitdotio/pipeline.hpp>
#include <bitdotio/pool.hpp>
#include <bitdotio/row_stream.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

// The allocator of the C library under its other names.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* what, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
}

namespace {

unsigned long allocations = 0;

}  // namespace

extern "C" {
void* malloc(std::size_t size) noexcept {
    ++allocations;
    return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
    ++allocations;
    return __libc_calloc(count, size);
}
void* realloc(void* what, std::size_t size) noexcept {
    ++allocations;
    return __libc_realloc(what, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    ++allocations;
    return __libc_memalign(alignment, size);
}
int posix_memalign(void** where, std::size_t alignment, std::size_t size) noexcept {
    ++allocations;
    *where = __libc_memalign(alignment, size);
    return *where ? 0 : ENOMEM;
}
}

namespace {

namespace asio = boost::asio;

constexpr const char* select_by_key = "SELECT value FROM kept WHERE id = $1";
constexpr const char* update_by_key = "UPDATE changed SET value = value + 1 WHERE id = $1";
constexpr int keys = 1'000;
constexpr int batch_size = 64;

asio::awaitable<void> set_up(bitdotio::pool& pool) {
    co_await pool.execute("CREATE TABLE IF NOT EXISTS kept (id int PRIMARY KEY, value text)");
    co_await pool.execute(
        "INSERT INTO kept SELECT n, 'value ' || n FROM generate_series(1, $1) n "
        "ON CONFLICT DO NOTHING",
        keys);
    co_await pool.execute(
        "CREATE UNLOGGED TABLE IF NOT EXISTS changed (id int PRIMARY KEY, value int) "
        "WITH (fillfactor = 10)");
    co_await pool.execute(
        "INSERT INTO changed SELECT n, 0 FROM generate_series(1, $1) n ON CONFLICT DO NOTHING",
        keys);
}

asio::awaitable<void> statements(bitdotio::pool& pool, int count) {
    for (int i = 0; i < count; ++i) {
        const bitdotio::result found = co_await pool.query(select_by_key, i % keys + 1);
        if (found.size() != 1) {
            throw std::runtime_error("there is no such row");
        }
    }
}

asio::awaitable<void> leases(bitdotio::pool& pool, int count) {
    for (int i = 0; i < count; ++i) {
        bitdotio::pooled_connection lent = co_await pool.acquire();
        lent.release();
    }
}

asio::awaitable<void> rows(bitdotio::pool& pool, int count) {
    auto stream = co_await pool.stream(
        "SELECT n, n::float8 / 2, 'row ' || n FROM generate_series(1, $1) n", count);
    int seen = 0;
    double sum = 0;
    while (true) {
        auto chunk = co_await stream.next();
        if (!chunk) {
            break;
        }
        for (const auto& [n, half, text] : chunk->rows_as<std::tuple<int, double, std::string>>()) {
            sum += n - 2 * half + static_cast<double>(text.size());
            ++seen;
        }
    }
    if (seen != count || sum <= 0) {
        throw std::runtime_error("other rows came than were asked for");
    }
}

asio::awaitable<void> copied_rows(bitdotio::pool& pool, int count) {
    bitdotio::pooled_connection lent = co_await pool.acquire();
    auto copy = co_await lent->copy_to(
        "COPY (SELECT n, n::float8 / 2, 'row ' || n FROM generate_series(1, " +
        std::to_string(count) + ") n) TO STDOUT (FORMAT binary)");
    int seen = 0;
    while (co_await copy.next_row<std::tuple<int, double, std::string>>()) {
        ++seen;
    }
    if (seen != count) {
        throw std::runtime_error("other rows came than were copied");
    }
}

// Each on a row of its own, so that nobody waits for a lock.
asio::awaitable<void> transactions(bitdotio::pool& pool, int count, int id) {
    const auto work = [id](bitdotio::transaction& open) -> asio::awaitable<void> {
        co_await open.execute(update_by_key, id);
        co_await open.query(select_by_key, id);
    };
    for (int i = 0; i < count; ++i) {
        co_await pool.transaction(work);
    }
}

asio::awaitable<void> transactions_at_once(bitdotio::pool& pool, int count, int id) {
    const bitdotio::statement update(update_by_key);
    const bitdotio::statement select(select_by_key);
    for (int i = 0; i < count; ++i) {
        bitdotio::pipeline both;
        both.add(update, id).add(select, id);
        const bitdotio::pipeline_results answers = co_await pool.transaction(std::move(both));
        if (answers[1].size() != 1) {
            throw std::runtime_error("there is no such row");
        }
    }
}

asio::awaitable<void> piped(bitdotio::pool& pool, int count) {
    const bitdotio::statement sql(select_by_key);
    bitdotio::pooled_connection lent = co_await pool.acquire();
    for (int done = 0; done < count; done += batch_size) {
        bitdotio::pipeline batch(bitdotio::pipeline_sync::once);
        for (int i = 0; i < batch_size; ++i) {
            batch.add(sql, (done + i) % keys + 1);
        }
        const bitdotio::pipeline_results answers = co_await lent->run(std::move(batch));
        for (std::size_t i = 0; i < answers.size(); ++i) {
            if (answers[i].size() != 1) {
                throw std::runtime_error("there is no such row");
            }
        }
    }
}

template <class Work>
void in_tasks(asio::io_context& loop, int tasks, int count, Work work) {
    int left = tasks;
    for (int task = 0; task < tasks; ++task) {
        asio::co_spawn(loop, work(count / tasks), [&](const std::exception_ptr& thrown) {
            if (thrown) {
                std::rethrow_exception(thrown);
            }
            if (--left == 0) {
                loop.stop();  // the pool goes on watching what is idle
            }
        });
    }
    loop.run();
    loop.restart();
}

void run(std::string_view kind, int count, const char* dsn) {
    asio::io_context loop;
    bitdotio::pool_options options;
    options.max_size = 8;
    options.max_connecting = 8;
    if (kind == "shared") {
        options.multiplex = bitdotio::multiplexing(4, 64);
    }
    bitdotio::pool pool(loop.get_executor(), bitdotio::connect_options::parse(dsn), options);

    const auto statement_loop = [&](int each) { return statements(pool, each); };
    const auto lease_loop = [&](int each) { return leases(pool, each); };
    in_tasks(loop, 1, 1, [&](int) { return set_up(pool); });
    in_tasks(loop, 64, 640, statement_loop);  // all connections are open, and have it prepared
    const unsigned long before = allocations;
    if (kind == "statement") {
        in_tasks(loop, 1, count, statement_loop);
    } else if (kind == "statements") {
        in_tasks(loop, 64, count, statement_loop);
    } else if (kind == "shared") {
        in_tasks(loop, 256, count, statement_loop);
    } else if (kind == "lease") {
        in_tasks(loop, 1, count, lease_loop);
    } else if (kind == "leases") {
        in_tasks(loop, 64, count, lease_loop);
    } else if (kind == "transaction") {
        int id = 0;
        in_tasks(loop, 16, count, [&](int each) { return transactions(pool, each, ++id); });
    } else if (kind == "transaction_once") {
        int id = 0;
        in_tasks(loop, 16, count, [&](int each) { return transactions_at_once(pool, each, ++id); });
    } else if (kind == "piped") {
        in_tasks(loop, 1, count, [&](int each) { return piped(pool, each); });
    } else if (kind == "row") {
        in_tasks(loop, 1, count, [&](int each) { return rows(pool, each); });
    } else if (kind == "copied_row") {
        in_tasks(loop, 1, count, [&](int each) { return copied_rows(pool, each); });
    } else {
        throw std::runtime_error("there is no work of this kind");
    }
    std::printf("%lu\n", allocations - before);
    std::fflush(stdout);
    std::_Exit(0);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fputs("workload KIND COUNT DSN\n", stderr);
        return 2;
    }
    try {
        run(argv[1], std::atoi(argv[2]), argv[3]);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "workload: %s\n", failure.what());
        return 1;
    }
}
