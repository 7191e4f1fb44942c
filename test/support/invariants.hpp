// What holds after every fault: counters, backends and descriptors are back where they were.
#pragma once

#include "support/descriptors.hpp"
#include "support/ledger.hpp"
#include "support/pool_use.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/pool.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <string>

namespace test {

inline void expect_clean(const verdict& found) {
    INFO(found.text());
    CHECK(found.clean());
}

/// The open descriptors of this process: noted at the beginning of a test, when everything that
/// stays open is open, and expected again at its end.
class descriptor_baseline {
public:
    void expect() const { CHECK(settled_descriptors() <= before_); }

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

/// Within `limit` nobody waits for a connection of the pool nor has one.
inline asio::awaitable<void> expect_at_rest(
    bitdotio::pool from, std::chrono::milliseconds limit = std::chrono::seconds(5)) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    auto now = co_await from.statistics();
    while (now.used + now.waiting + now.dialling > 0 &&
           std::chrono::steady_clock::now() < deadline) {
        co_await rest(std::chrono::milliseconds(5));
        now = co_await from.statistics();
    }
    CHECK(now.used == 0);
    CHECK(now.waiting == 0);
    CHECK(now.dialling == 0);
}

/// Closes the pool; within `limit` the server has no backend of it left.
///
/// Parameters: `direct` is a connection past the fault, of another application name.
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
