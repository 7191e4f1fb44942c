// A connection on its way: libpq says what to wait for, Asio waits.
#pragma once

#include <bitdotio/error.hpp>

#include "deadline.hpp"
#include "libpq.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace bitdotio {

/// Takes a connection that libpq has started to its end: open, or failed, which libpq explains.
///
/// Parameters: `conn` is a libpq::connection or a libpq::cancel; `socket` is registered only while
/// it waits,
///     and free again afterwards.
/// Errors: errc::cancelled.
/// Cancellation: what the caller's coroutine supports. The connection is left halfway, good for
///     nothing but to be closed.
template <class Connection>
asio::awaitable<bool> poll_to_end(const Connection& conn, asio::posix::stream_descriptor& socket) {
    // libpq owns the descriptor and closes it: it is released however the wait ends.
    struct registration {
        explicit registration(asio::posix::stream_descriptor& which, int descriptor)
            : socket(which) {
            socket.assign(descriptor);
        }
        ~registration() { socket.release(); }
        registration(const registration&) = delete;
        asio::posix::stream_descriptor& socket;
    };
    PostgresPollingStatusType poll = PGRES_POLLING_WRITING;
    while (poll == PGRES_POLLING_WRITING || poll == PGRES_POLLING_READING) {
        const int descriptor = libpq::descriptor_of(conn.get());
        if (descriptor < 0) {
            co_return false;
        }
        const auto wait = poll == PGRES_POLLING_WRITING ? asio::posix::descriptor_base::wait_write
                                                        : asio::posix::descriptor_base::wait_read;
        boost::system::error_code failure;
        {
            // Anew before every wait: libpq may have closed its socket and opened another under
            // the same number, which the reactor cannot see.
            const registration registered(socket, descriptor);
            co_await socket.async_wait(wait, asio::redirect_error(asio::use_awaitable, failure));
        }
        if (failure) {
            throw error(errc::cancelled, "connecting was cancelled");
        }
        const libpq::untranslated english;
        poll = libpq::poll(conn.get());
    }
    co_return poll == PGRES_POLLING_OK;
}

}  // namespace bitdotio
