// Sessions of handwritten clients at the Postgres endpoint of a test's server.
#pragma once

#include "support/run.hpp"
#include "support/test_server.hpp"
#include "support/wire_client.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>

#include <chrono>
#include <string>
#include <type_traits>

namespace test {

/// Logs in with the server's first key, or another. The test ends if it is refused.
asio::awaitable<void> log_in(wire_client& client, const test_server& server, std::string database);
asio::awaitable<void> log_in(wire_client& client, const test_server& server, std::string database,
                             std::string key);

/// What a client gets that should be refused: the refusal, or ReadyForQuery, type 'Z', if it was
/// let in. After a refusal the server must end the connection in good order.
asio::awaitable<reply> answer_to_login(const test_server& server, std::string database,
                                       std::string key);

/// The first field of a statement's answer, in a session of its own.
asio::awaitable<std::string> query_once(const test_server& server, std::string database,
                                        std::string sql);

/// Logs a client in to a database with the server's first key, runs `work(client)` to its end and
/// returns its value.
///
/// Parameters: `limit` is that of `run`.
template <coroutine_of<wire_client&> Work>
auto with_wire_client(std::chrono::milliseconds limit, const test_server& server,
                      const bitdotio::database_name& database, Work work) {
    return run(limit, [&]() -> std::invoke_result_t<Work&, wire_client&> {
        wire_client client(co_await asio::this_coro::executor);
        co_await log_in(client, server, database.full());
        co_return co_await work(client);
    });
}

template <coroutine_of<wire_client&> Work>
auto with_wire_client(const test_server& server, const bitdotio::database_name& database,
                      Work work) {
    return with_wire_client(std::chrono::seconds(60), server, database, std::move(work));
}

}  // namespace test
