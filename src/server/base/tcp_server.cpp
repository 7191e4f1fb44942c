// Accepts connections, finds room for them, and ends them in order.
#include <bitdotio/error.hpp>

#include "server/base/event_log.hpp"
#include "server/base/tcp_server.hpp"

#include <boost/asio/bind_executor.hpp>

#include <utility>

namespace bitdotio {

namespace {

using asio::ip::tcp;

// The time for connections to notice that they were cut; they only have to unwind.
constexpr std::chrono::seconds unwinding{5};

// How many clients at once are told that there is no place for them.
constexpr std::size_t most_refused = 64;

// What counts as one address; empty for this machine.
std::string network_of(const tcp::socket& socket) {
    boost::system::error_code gone;
    asio::ip::address address = socket.remote_endpoint(gone).address();
    if (address.is_v6() && address.to_v6().is_v4_mapped()) {
        address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
    }
    if (gone || address.is_loopback()) return {};
    if (address.is_v4()) return address.to_string();
    const auto bytes = address.to_v6().to_bytes();
    return {bytes.begin(), bytes.begin() + 8};
}

tcp::endpoint parse_endpoint(const std::string& address, std::uint16_t port) {
    boost::system::error_code failure;
    const auto parsed =
        asio::ip::make_address(address == "localhost" ? "127.0.0.1" : address, failure);
    if (failure) {
        throw error(errc::bad_input, "\"" + address +
                                         "\" is not an address to listen on: give an IP address "
                                         "of this machine, such as 127.0.0.1 or 0.0.0.0");
    }
    return tcp::endpoint(parsed, port);
}

error cannot_listen(const std::string& address, std::uint16_t port,
                    const boost::system::error_code& failure) {
    const std::string where = "port " + std::to_string(port) + " of " + address;
    if (failure == asio::error::address_in_use) {
        return error(errc::system_failed,
                     where +
                         " is in use: stop what listens there, or choose another port (0 takes "
                         "a free one)");
    }
    return error(errc::system_failed, "cannot listen on " + where + ": " + failure.message());
}

}  // namespace

tcp_server::tcp_server(asio::any_io_executor executor, connection_factory make_connection)
    : strand_(executor),
      make_connection_(std::move(make_connection)),
      acceptor_(strand_),
      changed_(strand_, no_deadline) {}

void tcp_server::listen(const std::string& address, std::uint16_t port) {
    const tcp::endpoint endpoint = parse_endpoint(address, port);
    boost::system::error_code failure;
    acceptor_.open(endpoint.protocol(), failure);
    if (!failure) acceptor_.set_option(tcp::acceptor::reuse_address(true), failure);
    if (!failure) acceptor_.bind(endpoint, failure);
    if (!failure) acceptor_.listen(asio::socket_base::max_listen_connections, failure);
    if (failure) {
        boost::system::error_code ignored;
        acceptor_.close(ignored);
        throw cannot_listen(address, port, failure);
    }
    port_ = acceptor_.local_endpoint().port();
}

failure_report tcp_server::on_failure() const noexcept {
    return failure_report(events_, "a server");
}

void tcp_server::open() {
    accepting_ = true;
    auto ended = [self = shared_from_this(),
                  report = on_failure()](std::exception_ptr thrown) noexcept {
        report(thrown);
        self->accepting_ = false;
        self->changed_.cancel();
    };
    spawn_alone(strand_, accept_all(), std::move(ended));
}

asio::awaitable<void> tcp_server::accept_all() {
    while (acceptor_.is_open()) {
        boost::system::error_code failure;
        tcp::socket socket =
            co_await acceptor_.async_accept(strand(strand_.get_inner_executor()),
                                            asio::redirect_error(asio::use_awaitable, failure));
        if (failure == asio::error::operation_aborted) co_return;
        if (failure) {
            // Probably out of descriptors: the kernel's queue holds new connections meanwhile.
            asio::steady_timer pause(strand_, std::chrono::milliseconds(50));
            co_await pause.async_wait(asio::use_awaitable);
            continue;
        }
        ++accepted_;
        if (refuses()) continue;  // the socket's destructor hangs up
        socket.set_option(tcp::no_delay(true), failure);
        try {
            begin(std::move(socket));
        } catch (...) {
            on_failure()(std::current_exception());  // that client is cut; the next may come in
        }
    }
}

bool tcp_server::refuses() noexcept {
    int left = refusals_;
    while (left > 0) {
        if (refusals_.compare_exchange_weak(left, left - 1)) return true;
    }
    return false;
}

void tcp_server::begin(tcp::socket socket) {
    visitor guest;
    guest.network = network_of(socket);
    std::string refusal = find_room(guest.network);
    const bool refused = !refusal.empty();
    if (refused && refused_ >= most_refused) return;  // the socket's destructor hangs up
    const std::shared_ptr<server_connection> who = make_connection_(std::move(socket));
    who->refusal_ = std::move(refusal);
    guest.who = who;
    const std::uint64_t number = ++last_number_;
    count(connections_.emplace(number, std::move(guest)).first->second, refused);
    auto ended = [self = shared_from_this(), report = on_failure(),
                  number](std::exception_ptr thrown) noexcept {
        if (is_unforeseen(thrown)) report(thrown);
        self->forget(number);
    };
    const std::shared_ptr<asio::cancellation_signal> end(who, &who->end_);
    try {
        auto at_home = asio::bind_executor(strand_, std::move(ended));
        spawn_alone(who->executor(), who->serve(), std::move(at_home), end);
    } catch (...) {
        forget(number);
        throw;
    }
}

// Makes room for one more, or says why there is none.
std::string tcp_server::find_room(const std::string& network) {
    if (!network.empty()) {
        const auto there = by_network_.find(network);
        if (there != by_network_.end() && there->second >= limits_.most_per_address &&
            !evict(network)) {
            return "the server has " + std::to_string(limits_.most_per_address) +
                   " connections from this address already";
        }
    }
    if (served_ >= limits_.most && !evict("")) {
        return "the server has " + std::to_string(limits_.most) + " connections already";
    }
    return {};
}

// Ends the oldest connection, of this network or of any, whose client has not shown who it is.
bool tcp_server::evict(const std::string& network) {
    for (auto& [number, guest] : connections_) {
        if (!guest.counted || guest.refused || guest.who->proven_) continue;
        if (!network.empty() && guest.network != network) continue;
        uncount(guest);
        end(guest.who);
        return true;
    }
    return false;
}

void tcp_server::count(visitor& who, bool refused) {
    if (!refused && !who.network.empty()) ++by_network_[who.network];
    who.refused = refused;
    who.counted = true;
    ++(refused ? refused_ : served_);
}

void tcp_server::uncount(visitor& who) noexcept {
    if (!std::exchange(who.counted, false)) return;
    --(who.refused ? refused_ : served_);
    if (who.refused || who.network.empty()) return;
    const auto there = by_network_.find(who.network);
    if (--there->second == 0) by_network_.erase(there);
}

void tcp_server::end(const std::shared_ptr<server_connection>& who) {
    auto cut = [who] {
        who->cut();
        who->end_.emit(asio::cancellation_type::terminal);
    };
    post_work(who->executor(), guarded(std::move(cut), on_failure()));
}

void tcp_server::forget(std::uint64_t number) noexcept {
    const auto guest = connections_.find(number);
    if (guest == connections_.end()) return;
    uncount(guest->second);
    connections_.erase(guest);
    changed_.cancel();
}

asio::awaitable<void> tcp_server::close(std::chrono::milliseconds grace) {
    return on_strand(strand_, shared_from_this(), do_close(grace));
}

void tcp_server::ask_to_leave() {
    dispatch_work(strand_,
                  guarded([self = shared_from_this()] { self->ask_all_to_leave(); }, on_failure()));
}

void tcp_server::ask_all_to_leave() {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    for (const auto& [number, guest] : connections_) {
        const auto who = guest.who;
        post_work(who->executor(), guarded([who] { who->leave(); }, on_failure()));
    }
}

asio::awaitable<void> tcp_server::empty(std::chrono::milliseconds grace) {
    return on_strand(strand_, shared_from_this(), do_empty(grace));
}

asio::awaitable<void> tcp_server::do_empty(std::chrono::milliseconds grace) {
    ask_all_to_leave();
    co_await wait_until_empty(from_now(grace));
}

asio::awaitable<void> tcp_server::do_close(std::chrono::milliseconds grace) {
    co_await do_empty(grace);
    for (const auto& [number, guest] : connections_) {
        end(guest.who);
    }
    co_await wait_until_empty(from_now(unwinding));
}

asio::awaitable<void> tcp_server::wait_until_empty(time_point deadline) {
    while ((accepting_ || !connections_.empty()) && std::chrono::steady_clock::now() < deadline) {
        changed_.expires_at(deadline);
        boost::system::error_code ended;
        co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, ended));
    }
}

}  // namespace bitdotio
