// Notifications of PostgreSQL as an awaitable stream, on a connection of their own.
#pragma once

#include <bitdotio/connect_options.hpp>
#include <bitdotio/error.hpp>
#include <bitdotio/notification.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace bitdotio {

namespace asio = boost::asio;

/// The connection was lost and a new one listens to the same channels: notifications in between
/// have been missed. Callers that keep something in step with the database read it anew.
///
/// Thread safety: a value.
struct notification_gap {
    explicit notification_gap(error reason_) : reason(std::move(reason_)) {}

    /// Why the connection was lost, with the server's last message if there was one.
    error reason;
};

using listener_event = std::variant<notification, notification_gap>;

/// Listens to channels and hands out notifications in their order.
///
/// It has a connection of its own, opened at the first `listen` and, after a loss, by the next
/// `next` or `listen`, which wakes a sleeping database. So a program that always awaits `next`
/// keeps its database awake.
///
/// The network is read only while `next` waits, and then once, for some kilobytes: a slow consumer
/// leaves the rest to the buffers of the network and finally to PostgreSQL, whose queue of
/// notifications is shared by all databases and grows while one listener does not read.
///
/// To send, run `SELECT pg_notify($1, $2)` on any connection.
///
/// Thread safety: its functions may be called from any thread. One `next` at a time; `listen` and
///     `unlisten` may be called meanwhile.
/// Lifetime: operations under way outlive the handle; destroying it closes the connection in the
///     background.
/// See: PostgreSQL manual, LISTEN, NOTIFY. Poolers in transaction mode cannot carry LISTEN.
class listener {
public:
    /// Opens nothing yet.
    ///
    /// Errors: errc::bad_input for invalid options.
    listener(asio::any_io_executor executor, connect_options options);
    listener(listener&&) noexcept = default;
    listener& operator=(listener&& other) noexcept;
    ~listener();

    /// Listens to a channel from now on; once it returns, no notification is missed without a gap
    /// being reported. Listening to it already changes nothing.
    ///
    /// Parameters: `channel` of 1 to 63 bytes, taken as it is: case and blanks matter, quotes are
    ///     not special. `LISTEN Name` without quotes means "name".
    /// Errors: errc::bad_input for an invalid name; those of connection::open; those of a
    ///     statement, such as errc::query_failed on a standby, where nobody can listen.
    /// Cancellation: terminal, partial, total; it does not listen then, as far as `next` tells.
    asio::awaitable<void> listen(std::string channel);

    /// Stops listening to a channel. What has been received before still comes out of `next`.
    ///
    /// Errors: as `listen`, except that a lost connection is not an error.
    /// Cancellation: terminal, partial, total; it may or may not listen then: call it again.
    asio::awaitable<void> unlisten(std::string channel);

    /// The next notification, or the gap in which some may have been missed. Waits for ever if
    /// nothing comes.
    ///
    /// Errors: errc::protocol_violated for a second call at once; those of connection::open when a
    ///     lost connection cannot be replaced: call again to try again, the gap will be reported.
    ///     errc::connection_lost if this listener was closed.
    /// Cancellation: terminal, partial, total; nothing is lost, the next call goes on. Callers that
    ///     race it against something else must look at both results.
    asio::awaitable<listener_event> next();

    /// As `next`, or nothing if nothing came within the timeout.
    ///
    /// Errors and cancellation: as `next`.
    asio::awaitable<std::optional<listener_event>> next_within(std::chrono::milliseconds timeout);

    /// Closes the connection; a waiting `next` ends with errc::connection_lost. A closed listener
    /// stays closed; closing again does nothing.
    ///
    /// Cancellation: none, it does not wait for the network. A connection that is being opened is
    ///     closed when it is there: cancel its `next` or `listen` to end that too.
    asio::awaitable<void> close();

private:
    class core;
    std::shared_ptr<core> core_;
};

}  // namespace bitdotio
