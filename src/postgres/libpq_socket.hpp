// The socket of a libpq connection, on which Asio waits for what libpq has to read or to write.
#pragma once

#include "base/spawn.hpp"
#include "postgres/libpq.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/query.hpp>

#include <utility>

namespace bitdotio {

namespace asio = boost::asio;

/// Runs what it is given at once. Events of the descriptor come on a thread of its context, and
/// each handler says by itself where it goes from there.
///
/// Thread safety: a value.
class event_executor {
public:
    explicit event_executor(asio::execution_context& context) noexcept : context_(&context) {}

    asio::execution_context& query(asio::execution::context_t) const noexcept { return *context_; }
    template <class Function>
    void execute(Function&& function) const {
        std::forward<Function>(function)();
    }
    bool operator==(const event_executor& other) const noexcept = default;

private:
    asio::execution_context* context_;
};

/// The error of a wait that was cancelled.
error waiting_cancelled();

/// Where a connection of libpq waits: its descriptor, and what OpenSSL holds of it.
///
/// A TLS record may be longer than the room in libpq's buffer. What is left of it lies decrypted in
/// OpenSSL, where no event will announce it, so it counts as readable here: no wait begins while
/// there is any. Servers that write records of more than 8 kB make it happen, PostgreSQL does not.
///
/// Thread safety: none; it is used on the strand of its connection.
/// Lifetime: the connection must outlive its attachment. libpq owns the descriptor and closes it,
///     so it is detached before that.
class libpq_socket {
public:
    explicit libpq_socket(const asio::any_io_executor& executor)
        : home_(executor),
          descriptor_(event_executor(asio::query(executor, asio::execution::context))) {}

    /// Registers the connection's descriptor. False if it has none, which is so once it has broken.
    bool attach(PGconn* conn) { return attach(PQsocket(conn), conn); }
#ifdef LIBPQ_HAS_ASYNC_CANCEL
    /// The same for a cancel request, whose TLS libpq keeps to itself; its answer is an end.
    bool attach(PGcancelConn* request) {
        return attach(PQcancelSocket(request), nullptr);
    }
#endif
    void detach() noexcept;

    /// Whether there is something to read now, the connection's end included. Only for one that is
    /// attached.
    bool is_readable() const noexcept;

    /// Returns when there is something to read.
    ///
    /// Errors: errc::cancelled.
    /// Cancellation: terminal, partial, total; nothing was read.
    asio::awaitable<void> readable();
    /// The same in two parts, for those that wait often: where nothing is held, wait. The wait
    /// gives an error if it was cancelled, see waiting_cancelled.
    bool holds_unread() const noexcept {
        return conn_ && libpq::holds_unread(conn_);
    }
    auto wait_readable() {
        return descriptor_.async_wait(asio::posix::descriptor_base::wait_read,
                                      asio::as_tuple(asio::deferred));
    }
    /// The same for a guest on `strand`, see `enter_strand`.
    template <class Strand>
    auto wait_readable(const Strand& strand) {
        return descriptor_.async_wait(asio::posix::descriptor_base::wait_read,
                                      asio::bind_executor(strand, asio::as_tuple(asio::deferred)));
    }
    /// Returns when something can be written; otherwise as `readable`.
    asio::awaitable<void> writable();
    /// Returns when there is something to read, or something can be written; otherwise as
    /// `readable`.
    asio::awaitable<void> readable_or_writable();

    /// Calls `handler` once, on the executor, when there is something to read, or with an error
    /// after `cancel` or `detach`. The first may still come then, if it was on its way. It must be
    /// noexcept, see `guarded`.
    template <class Handler>
    void when_readable(Handler handler) {
        if (holds_unread()) {
            post_work(home_, [handler = std::move(handler)]() mutable noexcept {
                handler(boost::system::error_code());
            });
            return;
        }
        descriptor_.async_wait(asio::posix::descriptor_base::wait_read,
                               asio::bind_executor(home_, std::move(handler)));
    }
    /// Calls `event` once, on any thread of the context and beside whatever else runs, when there
    /// is something to read that is not held; with an error as above. What it throws comes out of
    /// the context.
    template <class Event>
    void on_event(Event event) {
        descriptor_.async_wait(asio::posix::descriptor_base::wait_read, std::move(event));
    }
    void cancel() {
        descriptor_.cancel();
    }

private:
    bool attach(int descriptor, PGconn* conn);

    const asio::any_io_executor home_;
    asio::posix::basic_stream_descriptor<event_executor> descriptor_;
    PGconn* conn_ = nullptr;
};

}  // namespace bitdotio
