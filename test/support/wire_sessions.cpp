// Logs handwritten clients in.
#include "support/wire_sessions.hpp"

#include <boost/asio/error.hpp>

#include <doctest/doctest.h>

#include <utility>

namespace test {

asio::awaitable<void> log_in(wire_client& client, const test_server& server, std::string database) {
    return log_in(client, server, std::move(database), server.key().reveal());
}

asio::awaitable<void> log_in(wire_client& client, const test_server& server, std::string database,
                             std::string key) {
    const bool admitted =
        co_await client.log_in(server.postgres_port(), std::move(database), std::move(key));
    CAPTURE(client.last.field('M'));
    REQUIRE(admitted);
}

asio::awaitable<reply> answer_to_login(const test_server& server, std::string database,
                                       std::string key) {
    wire_client client(co_await asio::this_coro::executor);
    const bool admitted =
        co_await client.log_in(server.postgres_port(), std::move(database), std::move(key));
    if (!admitted) {
        const auto ended = co_await client.end();
        CHECK(ended == asio::error::eof);
    }
    co_return client.last;
}

asio::awaitable<std::string> query_once(const test_server& server, std::string database,
                                        std::string sql) {
    wire_client client(co_await asio::this_coro::executor);
    co_await log_in(client, server, std::move(database));
    co_return co_await client.query(std::move(sql));
}

}  // namespace test
