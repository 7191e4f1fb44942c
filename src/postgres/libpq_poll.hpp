// A connection on its way: libpq says what to wait for, Asio waits.
#pragma once

#include <bitdotio/error.hpp>

#include "postgres/libpq.hpp"
#include "postgres/libpq_socket.hpp"

#include <boost/asio/awaitable.hpp>

namespace bitdotio {

/// Takes a connection that libpq has started to its end: open, or failed, which libpq explains.
///
/// Parameters: `conn` is a libpq::connection or a libpq::cancel; `socket` is attached only while it
///     waits, and free again afterwards.
/// Errors: errc::cancelled.
/// Cancellation: what the caller's coroutine supports. The connection is left halfway, good for
///     nothing but to be closed.
template <class Connection>
asio::awaitable<bool> poll_to_end(const Connection& conn, libpq_socket& socket) {
    // libpq owns the descriptor and closes it: it is detached however the wait ends.
    struct attachment {
        explicit attachment(libpq_socket& which) : socket(which) {}
        ~attachment() { socket.detach(); }
        attachment(const attachment&) = delete;
        libpq_socket& socket;
    };
    PostgresPollingStatusType poll = PGRES_POLLING_WRITING;
    while (poll == PGRES_POLLING_WRITING || poll == PGRES_POLLING_READING) {
        {
            // Anew before every wait: libpq may have closed its socket and opened another under
            // the same number, which the reactor cannot see.
            const attachment attached(socket);
            if (!socket.attach(conn.get())) {
                co_return false;
            }
            if (poll == PGRES_POLLING_WRITING) {
                co_await socket.writable();
            } else {
                co_await socket.readable();
            }
        }
        const libpq::untranslated english;
        poll = libpq::poll(conn.get());
    }
    co_return poll == PGRES_POLLING_OK;
}

}  // namespace bitdotio
