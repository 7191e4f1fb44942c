// Statements that wait until a test lets them go, and what happens to them meanwhile.
#pragma once

#include "support/pool_use.hpp"
#include "support/postgres_cluster.hpp"

#include <bitdotio/connection.hpp>

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>

namespace test {

/// Waits until that many backends of the user tester wait for `event`, as pg_stat_activity calls
/// it: "advisory" for a lock_barrier, "SyncRep" for a standby.
inline asio::awaitable<void> await_waiting(postgres_server& server, std::string event,
                                           int count = 1) {
    const std::string ask =
        "SELECT (count(*) >= " + std::to_string(count) +
        ")::text FROM pg_stat_activity WHERE usename = 'tester' AND wait_event = '" + event + "'";
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (server.value(ask) != "true") {
        if (std::chrono::steady_clock::now() > deadline) {
            throw std::runtime_error("nobody waits for " + event);
        }
        co_await rest(std::chrono::milliseconds(5));
    }
}

/// Does `verb`, such as "pg_terminate_backend(pid, 10000)", to tester's backends that wait for it.
inline void treat_waiting(postgres_server& server, const std::string& event,
                          const std::string& verb) {
    server.execute("SELECT " + verb +
                   " FROM pg_stat_activity WHERE usename = 'tester' AND wait_event = '" + event +
                   "'");
}

inline void terminate_waiting(postgres_server& server, const std::string& event) {
    treat_waiting(server, event, "pg_terminate_backend(pid, 10000)");
}

/// A lock that statements of a test stop at: those that call lock_barrier::stop.
class lock_barrier {
public:
    static constexpr const char* stop = "pg_advisory_xact_lock_shared(4711)";

    /// Puts the barrier in place.
    asio::awaitable<void> put(bitdotio::connect_options options) {
        holder_ = co_await bitdotio::connection::open(options);
        co_await holder_.query("SELECT pg_advisory_lock(4711)");
    }
    /// Lets all waiting statements go.
    asio::awaitable<void> remove() { co_await holder_.query("SELECT pg_advisory_unlock(4711)"); }

private:
    bitdotio::connection holder_;
};

/// Runs `run` and ends its backend `times` times while it waits at a barrier; then lets it go.
template <class Run>
asio::awaitable<void> while_terminated(postgres_server& server, Run& run, int times) {
    lock_barrier block;
    co_await block.put(server.connect());
    auto both = [&](std::size_t i) -> asio::awaitable<void> {
        if (i == 0) {
            co_await run();
            co_return;
        }
        for (int time = 0; time < times; ++time) {
            co_await await_waiting(server, "advisory");
            terminate_waiting(server, "advisory");
        }
        co_await block.remove();
    };
    expect_none(co_await gather(2, both));
}

}  // namespace test
