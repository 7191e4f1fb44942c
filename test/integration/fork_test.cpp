// A process that forks: its own objects go on working, and its child is told to make its own.
#include "support/database.hpp"

#include <bitdotio/client.hpp>
#include <bitdotio/listener.hpp>
#include <bitdotio/pool.hpp>
#include <bitdotio/row_stream.hpp>

#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <functional>
#include <thread>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connection;
using bitdotio::errc;
using bitdotio::listener;
using bitdotio::pool;
using bitdotio::pooled_connection;
using bitdotio::row_stream;
using bitdotio::transaction;

// What `work` returned in a child of this process; it exits without the end of a main function.
int in_child(const std::function<int()>& work) {
    const pid_t id = ::fork();
    REQUIRE(id >= 0);
    if (id == 0) {
        int code = 200;
        try {
            code = work();
        } catch (...) {
            code = 201;
        }
        ::_exit(code);
    }
    int status = 0;
    for (int turns = 0; turns < 2'000; ++turns) {
        if (::waitpid(id, &status, WNOHANG) == id) {
            return WIFEXITED(status) ? WEXITSTATUS(status) : 202;
        }
        std::this_thread::sleep_for(10ms);
    }
    ::kill(id, SIGKILL);
    ::waitpid(id, &status, 0);
    return 203;
}

// Whether it is refused in a child, on an executor of the child's own.
bool is_refused(asio::awaitable<void> work) {
    asio::io_context io(1);
    bool refused = false;
    const auto on_end = [&](std::exception_ptr thrown) {
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (const bitdotio::error& failure) {
            refused =
                failure.code() == errc::forked && failure.outcome() == bitdotio::outcome::not_sent;
        }
    };
    asio::co_spawn(io, std::move(work), on_end);
    io.run_for(5s);
    return refused;
}

template <class Session>
asio::awaitable<void> ask(Session& on) {
    co_await on.query("SELECT 1");
}
template <class Session>
asio::awaitable<void> begin(Session& on) {
    co_await on.begin();
}
asio::awaitable<void> borrow(pool& from) {
    co_await from.acquire();
}
asio::awaitable<void> close(pool& one) {
    co_await one.close();
}
asio::awaitable<void> read(row_stream& rows) {
    co_await rows.next();
}
asio::awaitable<void> hear(listener& one) {
    co_await one.next();
}
asio::awaitable<void> call(bitdotio::client& one) {
    co_await one.list_databases();
}
asio::awaitable<void> connect(bitdotio::client& one, bitdotio::database_name name) {
    co_await one.connect(name);
}

// What a program may have open when it forks.
struct belongings {
    connection alone;
    pool shared;
    pooled_connection lent;
    std::optional<transaction> open;
    std::optional<row_stream> rows;
    listener ears;
    bitdotio::client api;
};

// The number of the first step that went wrong, 0 if none.
int use_and_drop(belongings& has, const bitdotio::database_name& name) {
    int step = 0;
    for (const bool refused :
         {is_refused(ask(has.alone)), is_refused(begin(has.alone)), is_refused(ask(has.shared)),
          is_refused(begin(has.shared)), is_refused(borrow(has.shared)),
          is_refused(close(has.shared)), is_refused(ask(*has.lent)), is_refused(ask(*has.open)),
          is_refused(read(*has.rows)), is_refused(hear(has.ears)), is_refused(call(has.api)),
          is_refused(connect(has.api, name))}) {
        ++step;
        if (!refused) return step;
    }
    // Nothing of this may reach a server or the parent's reactor.
    has.lent.release();
    has.open.reset();
    has.rows.reset();
    const connection gone = std::move(has.alone);
    const listener deaf = std::move(has.ears);
    return 0;
}

asio::awaitable<void> fork_amid(bitdotio::client_options settings, bitdotio::database_name name,
                                bitdotio::connect_options options) {
    const auto executor = co_await asio::this_coro::executor;
    connection alone = co_await connection::open(options);
    pool shared(executor, options);
    listener ears(executor, options);
    belongings has{std::move(alone),
                   std::move(shared),
                   {},
                   {},
                   {},
                   std::move(ears),
                   bitdotio::client(executor, settings)};
    has.lent = co_await has.shared.acquire();
    has.open.emplace(co_await has.shared.begin());
    has.rows.emplace(co_await has.shared.stream("SELECT generate_series(1, 100000)"));
    co_await has.ears.listen("news");
    co_await has.shared.query("SELECT 1");  // one that idles
    const auto before = co_await has.api.list_databases();
    const auto alone_before = co_await has.alone.query("SELECT pg_backend_pid()");
    const auto lent_before = co_await has.lent->query("SELECT pg_backend_pid()");

    CHECK(in_child([&] { return use_and_drop(has, name); }) == 0);

    // On the same connections as before.
    const auto answer = co_await has.alone.query("SELECT pg_backend_pid()");
    CHECK(answer.one<int>() == alone_before.one<int>());
    const auto lent_answer = co_await has.lent->query("SELECT pg_backend_pid()");
    CHECK(lent_answer.one<int>() == lent_before.one<int>());
    co_await has.open->query("SELECT 1");
    co_await has.open->commit();
    std::size_t count = 0;
    while (auto rows = co_await has.rows->next()) {
        count += rows->size();
    }
    CHECK(count == 100'000);
    co_await has.alone.query("NOTIFY news");
    const auto heard = co_await has.ears.next_within(10s);
    CHECK(heard.has_value());
    has.lent.release();
    const auto after = co_await has.api.list_databases();
    CHECK(after.size() == before.size());
    const auto now = co_await has.shared.statistics();
    CHECK(now.opened == 4);
    CHECK(now.replaced == 0);
    co_await has.ears.close();
    co_await has.shared.close();
    co_await has.api.close();
}

// A child may talk to the service with objects of its own.
asio::awaitable<void> make_new(bitdotio::connect_options options) {
    connection c = co_await connection::open(options);
    co_await c.query("SELECT 1");
    co_await c.close();
}

int connect_anew(const bitdotio::connect_options& options) {
    asio::io_context io(1);
    int code = 1;
    asio::co_spawn(io, make_new(options),
                   [&](std::exception_ptr thrown) { code = thrown ? 2 : 0; });
    io.run_for(10s);
    return code;
}

TEST_CASE("a fork leaves the parent all it has, and its child is told to make its own") {
    test::database db;
    test::run(fork_amid(db.server.client_options(), db.name, db.connect));
}

TEST_CASE("a child opens connections of its own") {
    test::database db;
    CHECK(in_child([&] { return connect_anew(db.connect); }) == 0);
}

}  // namespace
