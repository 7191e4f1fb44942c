// The server and the pools of tests about statements that share connections.
#pragma once

#include "support/postgres_cluster.hpp"

#include <bitdotio/pool_options.hpp>

#include <doctest/doctest.h>

#include <cstddef>

namespace test {

/// One for all cases of a file, with an empty table `t (a integer)`.
inline postgres_primary& sharing_server() {
    static postgres_primary instance;
    static const bool made = [] {
        instance.execute("CREATE TABLE t (a integer); GRANT ALL ON t TO tester");
        return true;
    }();
    REQUIRE(made);
    return instance;
}

/// For pools whose statements share so many connections.
inline bitdotio::pool_options over(std::size_t connections, std::size_t in_flight = 64) {
    bitdotio::pool_options options;
    options.multiplex = bitdotio::multiplexing(connections, in_flight);
    return options;
}

}  // namespace test
