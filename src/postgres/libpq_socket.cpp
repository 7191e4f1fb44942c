// Waits of Asio, each after a look at what OpenSSL holds.
#include "postgres/libpq_socket.hpp"

#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <poll.h>

namespace bitdotio {

namespace {

using wait = asio::posix::descriptor_base;

}  // namespace

error waiting_cancelled() {
    return error(errc::cancelled, "the operation was cancelled");
}

bool libpq_socket::attach(int descriptor, PGconn* conn) {
    if (descriptor < 0) {
        return false;
    }
    descriptor_.assign(descriptor);
    conn_ = conn;
    return true;
}

void libpq_socket::detach() noexcept {
    conn_ = nullptr;
    if (descriptor_.is_open()) {
        descriptor_.release();
    }
}

bool libpq_socket::is_readable() const noexcept {
    pollfd look{PQsocket(conn_), POLLIN | POLLRDHUP, 0};
    return holds_unread() || ::poll(&look, 1, 0) != 0;
}

asio::awaitable<void> libpq_socket::readable() {
    if (holds_unread()) {
        co_return;
    }
    boost::system::error_code failure;
    co_await descriptor_.async_wait(wait::wait_read,
                                    asio::redirect_error(asio::use_awaitable, failure));
    if (failure) {
        throw waiting_cancelled();
    }
}

asio::awaitable<void> libpq_socket::writable() {
    boost::system::error_code failure;
    co_await descriptor_.async_wait(wait::wait_write,
                                    asio::redirect_error(asio::use_awaitable, failure));
    if (failure) {
        throw waiting_cancelled();
    }
}

asio::awaitable<void> libpq_socket::readable_or_writable() {
    if (holds_unread()) {
        co_return;
    }
    auto group = asio::experimental::make_parallel_group(
        descriptor_.async_wait(wait::wait_read, asio::bind_executor(home_, asio::deferred)),
        descriptor_.async_wait(wait::wait_write, asio::bind_executor(home_, asio::deferred)));
    const auto [order, read, write] =
        co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    if (read && write) {
        throw waiting_cancelled();
    }
}

}  // namespace bitdotio
