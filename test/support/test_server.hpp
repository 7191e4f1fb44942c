// The whole service for a test: a local_server on a thread of its own, stopped at the end.
#pragma once

#include <bitdotio/client_options.hpp>
#include <bitdotio/database_name.hpp>
#include <bitdotio/local_server.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace test {

/// A running server with plain blocking functions, for tests without coroutines of their own.
///
/// Each function fails with std::runtime_error instead of hanging.
class test_server {
public:
    explicit test_server(bitdotio::local_server_options options = {});
    ~test_server();
    test_server(const test_server&) = delete;
    test_server& operator=(const test_server&) = delete;

    /// The server itself, for functions that are missing here.
    bitdotio::local_server& server() { return *server_; }

    const std::string& api_url() const { return server_->api_url(); }
    std::uint16_t api_port() const;
    const std::string& postgres_host() const { return server_->postgres_host(); }
    std::uint16_t postgres_port() const { return server_->postgres_port(); }
    const std::string& ca_file() const { return server_->ca_file(); }
    const bitdotio::api_key& key() const { return server_->key(); }
    bitdotio::client_options client_options() const { return server_->client_options(); }

    /// Makes the database "<user>/<name>" over the HTTP API and returns its full name.
    bitdotio::database_name create_database(std::string_view name);
    /// The same with a name that no other database of this server has.
    bitdotio::database_name fresh_database();
    /// What connection::open needs to reach a database of this server.
    bitdotio::connect_options connect_options(const bitdotio::database_name& name) const;

    void sleep(const bitdotio::database_name& name);
    void wait_until_asleep(const bitdotio::database_name& name);
    bool is_asleep(const bitdotio::database_name& name);
    void refuse_next(int count);
    void hang_up(const bitdotio::database_name& name);
    void wake(const bitdotio::database_name& name);
    void delay(const bitdotio::database_name& name, std::chrono::milliseconds time);
    void fill(const bitdotio::database_name& name, bool full);
    std::uint64_t accepted_connections();
    /// The destructor calls it too.
    void stop();

private:
    template <class T>
    T wait_for(boost::asio::awaitable<T> work);

    boost::asio::io_context io_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
    std::thread thread_;
    std::optional<bitdotio::local_server> server_;
    int fresh_databases_ = 0;
};

/// An answer of the HTTP API as it came.
struct http_answer {
    unsigned status = 0;
    std::string head;  ///< status line and headers
    std::string body;
};

/// One HTTPS request over a connection of its own, written by hand so that nothing of the
/// library stands between the test and the wire.
///
/// Parameters: `request` is sent as it is; the answer is read until the server closes.
http_answer https(std::uint16_t port, const std::string& ca_file, const std::string& request);

}  // namespace test
