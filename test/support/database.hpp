// One server with one database, shared by the test cases of a file that do not break it.
#pragma once

#include "support/run.hpp"
#include "support/test_server.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/error.hpp>
#include <bitdotio/transaction.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <string>

namespace test {

inline bitdotio::local_server_options quick_to_sleep() {
    bitdotio::local_server_options options;
    options.sleep_after = std::chrono::milliseconds(100);
    return options;
}

/// A server and a database of its own for one test case.
struct database {
    explicit database(bitdotio::local_server_options options = {})
        : server(options),
          name(server.create_database("db")),
          connect(server.connect_options(name)) {}

    test_server server;
    bitdotio::database_name name;
    bitdotio::connect_options connect;
};

/// The error of `work`; fails the test if there is none.
template <class T>
bitdotio::error error_of(boost::asio::awaitable<T> work) {
    try {
        run(std::move(work));
    } catch (const bitdotio::error& failure) {
        return failure;
    }
    FAIL("it ended without an error");
    throw std::logic_error("unreachable");
}

template <coroutine_of Work>
bitdotio::error error_of(Work work) {
    return error_of(work());
}

}  // namespace test
