// How long a temporary server with many databases takes to stop, and what its clients are told.
#include "support/background.hpp"
#include "support/database.hpp"
#include "support/pool_use.hpp"

#include <bitdotio/connection.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using namespace bitdotio;

asio::awaitable<connection> work_in(connect_options options) {
    connection kept = co_await connection::open(options);
    // Enough that a checkpoint at the end would have something to write.
    co_await kept.query("CREATE TABLE t AS SELECT generate_series(1, 20000) AS a");
    co_return kept;
}

asio::awaitable<void> expect_goodbye(connection& kept) {
    const auto failure = co_await test::failure_of(kept, "SELECT 1");
    REQUIRE(failure);
    CHECK(failure->code() == errc::connection_lost);
    CHECK(failure->sqlstate() == "57P01");
    co_await kept.close();
}

TEST_CASE("a temporary server stops all its databases at once") {
    const char* const wanted = std::getenv("BITDOTIO_STOP_DATABASES");
    const int count = wanted ? std::atoi(wanted) : 6;
    local_server_options options;
    options.sleep_after = 10min;
    test::test_server server(options);
    test::background clients;
    std::vector<connection> kept;
    for (int i = 0; i < count; ++i) {
        const auto name = server.create_database("db" + std::to_string(i));
        kept.push_back(clients.wait_for(work_in(server.connect_options(name))));
    }
    const std::filesystem::path ca = server.ca_file();
    const auto began = std::chrono::steady_clock::now();
    server.stop();
    const auto took = std::chrono::steady_clock::now() - began;
    std::cout << count << " databases stopped in "
              << std::chrono::duration_cast<std::chrono::milliseconds>(took).count() << " ms\n";
    CHECK(took < 20s);
    CHECK_FALSE(std::filesystem::exists(ca));
    for (connection& one : kept) {
        clients.wait_for(expect_goodbye(one));
    }
}

}  // namespace
