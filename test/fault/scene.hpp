// A pool behind a proxy that injects faults, and a connection that goes around it.
#pragma once

#include "support/fault_proxy.hpp"
#include "support/invariants.hpp"
#include "support/ledger.hpp"
#include "support/postgres.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/pool.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

namespace test {

/// The application name of the pool's connections.
inline constexpr const char* scene_pool = "bitdotio";

/// The server of all scenes of a program.
inline private_postgres& scene_server() {
    static private_postgres instance([] {
        private_postgres_options options;
        options.hba = "host all all 127.0.0.1/32 trust\n";
        return options;
    }());
    return instance;
}

/// Lifetime: awaited in place; `begin` comes first and `end` last.
struct scene {
    scene(const asio::any_io_executor& executor, bitdotio::pool_options limits,
          std::chrono::milliseconds statement_timeout = std::chrono::milliseconds(0),
          std::chrono::milliseconds cancel_timeout = std::chrono::seconds(2))
        : proxy(fault_proxy::start(executor, scene_server().port())),
          max_size(limits.max_size),
          pool(executor, connect(statement_timeout, cancel_timeout), limits) {}

    bitdotio::connect_options connect(std::chrono::milliseconds statement_timeout,
                                      std::chrono::milliseconds cancel_timeout) const {
        bitdotio::connect_options options = scene_server().over_tcp("postgres", "");
        options.hosts = {{"127.0.0.1", proxy->port()}};
        options.statement_timeout = statement_timeout;
        options.cancel_timeout = cancel_timeout;
        return options;
    }

    asio::awaitable<void> begin() {
        bitdotio::connect_options options = scene_server().superuser();
        options.application_name = "direct";
        direct = co_await bitdotio::connection::open(options);
        co_await direct.script(std::string("DROP TABLE IF EXISTS ledger; ") + ledger::create);
    }

    /// Heals the proxy and checks that nothing is left behind and the ledger is right.
    asio::awaitable<void> end() {
        proxy->heal();
        co_await expect_at_rest(pool);
        CHECK(proxy->most_sessions() <= max_size);
        co_await expect_gone(pool, direct, scene_pool);
        const verdict found = co_await check(book, direct);
        expect_clean(found);
        co_await direct.close();
    }

    std::shared_ptr<fault_proxy> proxy;
    std::size_t max_size;
    bitdotio::pool pool;
    bitdotio::connection direct;
    ledger book;
};

inline std::chrono::milliseconds since(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                 begin);
}

inline bitdotio::pool_options at_most(std::size_t size) {
    bitdotio::pool_options limits;
    limits.max_size = size;
    return limits;
}

}  // namespace test
