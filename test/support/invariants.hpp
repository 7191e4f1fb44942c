// What holds after every fault: counters, backends and descriptors are back where they were, no
// session keeps a trace of its last user, and deadlines were kept.
#pragma once

#include "support/descriptors.hpp"
#include "support/ledger.hpp"
#include "support/pool_use.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/pool.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace test {

inline void expect_clean(const verdict& found) {
    INFO(found.text());
    CHECK(found.clean());
}

/// The open descriptors of this process: noted at the beginning of a test, when everything that
/// stays open is open, and expected to be the same at its end.
class descriptor_baseline {
public:
    void expect() const {
        INFO(open_descriptors(), " descriptors are open, and ", before_, " were");
        CHECK(descriptors_fall_to(before_));
    }

private:
    const std::ptrdiff_t before_ = settled_descriptors();
};

/// How many backends serve an application, by connect_options::application_name.
inline asio::awaitable<std::size_t> backends_of(bitdotio::connection& direct,
                                                std::string application) {
    const auto answer = co_await direct.query(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", application);
    co_return answer.one<std::size_t>();
}

/// How much later than its deadline a waiter may be told, in 99 of 100 cases.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr std::chrono::milliseconds punctuality{500};  // on a busy machine
#else
inline constexpr std::chrono::milliseconds punctuality{50};
#endif

/// How late waiters were told.
class lateness {
public:
    void add(std::chrono::steady_clock::time_point deadline) {
        const auto late = std::chrono::steady_clock::now() - deadline;
        all_.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(late));
    }
    /// Needs at least one value.
    std::chrono::milliseconds p99() const {
        std::vector<std::chrono::milliseconds> sorted = all_;
        std::sort(sorted.begin(), sorted.end());
        return sorted.at((sorted.size() - 1) * 99 / 100);
    }

private:
    std::vector<std::chrono::milliseconds> all_;
};

/// Checks that the pool's `count` idle connections are clean: no open transaction, no locks, no
/// temporary tables, no channels listened to, no changed settings.
inline asio::awaitable<void> expect_no_trace(bitdotio::pool from, std::size_t count) {
    std::vector<bitdotio::pooled_connection> lent;
    for (std::size_t i = 0; i < count; ++i) {
        lent.push_back(co_await from.acquire());
        const auto traces = co_await lent.back()->query(
            "SELECT pg_my_temp_schema() <> 0 OR EXISTS (SELECT FROM pg_listening_channels()) "
            "OR EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = "
            "'advisory') OR coalesce(current_setting('parking.quick', true), '') <> ''");
        CHECK_FALSE(traces.one<bool>());
        // Refused because no transaction is open; otherwise it would succeed.
        const auto refused = co_await failure_of(*lent.back(), "SAVEPOINT trace");
        REQUIRE(refused);
        CHECK(refused->sqlstate() == "25P01");
    }
}

/// Within `limit` no caller waits for a connection of the pool or has one, and the idle ones are as
/// good as new.
inline asio::awaitable<void> expect_at_rest(
    bitdotio::pool from, std::chrono::milliseconds limit = std::chrono::seconds(5)) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    auto now = co_await from.statistics();
    while (now.used + now.waiting + now.connecting > 0 &&
           std::chrono::steady_clock::now() < deadline) {
        co_await rest(std::chrono::milliseconds(5));
        now = co_await from.statistics();
    }
    CHECK(now.used == 0);
    CHECK(now.waiting == 0);
    CHECK(now.connecting == 0);
    co_await expect_no_trace(from, now.idle);
}

/// Closes the pool; within `limit` none of its backends is left at the server.
///
/// Parameters: `direct` is a connection past the fault, with another application name.
inline asio::awaitable<void> expect_gone(
    bitdotio::pool from, bitdotio::connection& direct, std::string application,
    std::chrono::milliseconds limit = std::chrono::seconds(5)) {
    co_await from.close();
    const auto deadline = std::chrono::steady_clock::now() + limit;
    std::size_t left = co_await backends_of(direct, application);
    while (left > 0 && std::chrono::steady_clock::now() < deadline) {
        co_await rest(std::chrono::milliseconds(5));
        left = co_await backends_of(direct, application);
    }
    CHECK(left == 0);
}

}  // namespace test
