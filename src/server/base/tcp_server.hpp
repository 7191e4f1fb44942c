// A listening socket and its connections: serves each, bounds them, and waits for all when closing.
#pragma once

#include "base/deadline.hpp"
#include "base/strand.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

namespace bitdotio {

class failure_report;
class event_log;

/// One client connection. Everything but the constructor runs on the strand of its socket.
class server_connection {
public:
    server_connection() = default;
    virtual ~server_connection() = default;
    server_connection(const server_connection&) = delete;
    server_connection& operator=(const server_connection&) = delete;

    virtual asio::any_io_executor executor() = 0;
    /// Serves the client until it or we go. An exception means the connection broke.
    virtual asio::awaitable<void> serve() = 0;
    /// The server is closing: ends idle work at once, and busy work when it has been answered.
    virtual void leave() = 0;
    /// Cuts the connection at once (TCP reset).
    virtual void cut() noexcept = 0;

protected:
    /// The client has shown who it is: others make room for newcomers before it does.
    void prove() noexcept { proven_ = true; }
    /// Why there is no place for this client, to be told to it in place of any service; empty for
    /// the others.
    const std::string& refusal() const noexcept { return refusal_; }

private:
    friend class tcp_server;
    asio::cancellation_signal end_;  // ends any wait of `serve`
    std::string refusal_;
    std::atomic<bool> proven_{false};
};

/// The client's address, without its port; 0.0.0.0 if it has gone already.
inline std::string address_of(const asio::ip::tcp::socket& socket) {
    boost::system::error_code gone;
    return socket.remote_endpoint(gone).address().to_string();
}

/// How many connections a tcp_server has at once.
struct connection_limits {
    connection_limits() = default;

    std::size_t most = 1'000;
    /// From one address, where an IPv6 network of 64 bits is one. Those of this machine itself are
    /// not counted: a proxy here stands for all its clients.
    std::size_t most_per_address = 500;
};

/// Listens for connections, accepts, serves and counts them.
///
/// A newcomer at a limit takes the place of the oldest connection whose client has not shown who it
/// is. If there is no such connection, the newcomer is served its refusal; newcomers beyond 64 of
/// these at once are hung up on.
///
/// Thread safety: every function may be called from any thread.
/// Lifetime: held by shared_ptr; await `close` before letting go of it.
class tcp_server : public std::enable_shared_from_this<tcp_server> {
public:
    using connection_factory =
        std::function<std::shared_ptr<server_connection>(asio::ip::tcp::socket)>;

    /// Parameters: `make_connection` is called for each connection, its socket's executor a strand.
    tcp_server(asio::any_io_executor executor, connection_factory make_connection);

    /// Binds and listens; port 0 takes a free one. Nobody is let in before `open`.
    ///
    /// Errors: errc::bad_input if `address` is not an IP address; errc::system_failed naming port
    ///     and address if it cannot listen there.
    void listen(const std::string& address, std::uint16_t port);
    std::uint16_t port() const noexcept { return port_; }

    /// Sets who is told of failures here or in a connection, except broken connections; call it
    /// before `open`.
    void report_to(std::shared_ptr<const event_log> events) { events_ = std::move(events); }

    /// Sets how many connections there may be; call it before `open`.
    void limit(connection_limits limits) noexcept { limits_ = limits; }

    /// Lets clients in.
    void open();

    /// Stops accepting and asks all connections to leave.
    void ask_to_leave();
    /// Stops accepting and asks all connections to leave; returns when they have, after `grace` at
    /// the latest.
    asio::awaitable<void> empty(std::chrono::milliseconds grace);
    /// The same, then cuts those that have not left.
    asio::awaitable<void> close(std::chrono::milliseconds grace);

    /// Hangs up on the next `count` connections right after accepting.
    void refuse_next(int count) noexcept { refusals_ = count; }
    /// The connections accepted so far, including refused ones.
    std::uint64_t accepted() const noexcept { return accepted_; }

private:
    asio::awaitable<void> accept_all();
    void ask_all_to_leave();
    asio::awaitable<void> do_empty(std::chrono::milliseconds grace);
    asio::awaitable<void> do_close(std::chrono::milliseconds grace);
    asio::awaitable<void> wait_until_empty(time_point deadline);
    // A connection, and what it takes of the limits.
    struct visitor {
        std::shared_ptr<server_connection> who;
        std::string network;   // empty for this machine
        bool refused = false;  // it only waits to be told so
        bool counted = false;
    };
    using visitors = std::map<std::uint64_t, visitor>;  // in the order they came

    void begin(asio::ip::tcp::socket socket);
    bool refuses() noexcept;
    std::string find_room(const std::string& network);
    bool evict(const std::string& network);
    void count(visitor& who, bool refused);
    void uncount(visitor& who) noexcept;
    void end(const std::shared_ptr<server_connection>& who);
    void forget(std::uint64_t number) noexcept;
    failure_report on_failure() const noexcept;

    strand strand_;
    connection_factory make_connection_;
    asio::ip::tcp::acceptor acceptor_;
    asio::steady_timer changed_;  // cancelled whenever a connection leaves
    visitors connections_;
    connection_limits limits_;
    std::uint64_t last_number_ = 0;
    std::size_t served_ = 0;   // connections that take a place
    std::size_t refused_ = 0;  // connections that wait to be told that there is none
    std::unordered_map<std::string, std::size_t> by_network_;
    std::shared_ptr<const event_log> events_;
    bool accepting_ = false;
    std::uint16_t port_ = 0;
    std::atomic<int> refusals_{0};
    std::atomic<std::uint64_t> accepted_{0};
};

}  // namespace bitdotio
