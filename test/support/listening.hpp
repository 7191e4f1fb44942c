// A listener in a test: what it hears, the loss of its connection, and a next() under way.
#pragma once

#include "base/deadline.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/error.hpp>
#include <bitdotio/listener.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace test {

namespace asio = boost::asio;

inline asio::awaitable<bitdotio::listener> listening(bitdotio::connect_options options,
                                                     std::string channel) {
    bitdotio::listener from(co_await asio::this_coro::executor, options);
    co_await from.listen(std::move(channel));
    co_return from;
}

inline asio::awaitable<void> notify(bitdotio::connection& c, std::string channel,
                                    std::string payload) {
    co_await c.query("SELECT pg_notify($1, $2)", channel, payload);
}

/// The next event, which must be a notification, as "channel:payload".
inline asio::awaitable<std::string> heard(bitdotio::listener& from) {
    const auto event = co_await from.next_within(std::chrono::seconds(20));
    REQUIRE(event);
    const auto* const one = std::get_if<bitdotio::notification>(&*event);
    REQUIRE(one);
    co_return one->channel + ":" + one->payload;
}

/// The next event, which must be a gap: the SQLSTATE of its reason.
inline asio::awaitable<std::string> gap(bitdotio::listener& from) {
    const auto event = co_await from.next_within(std::chrono::seconds(30));
    REQUIRE(event);
    const auto* const one = std::get_if<bitdotio::notification_gap>(&*event);
    REQUIRE(one);
    CHECK(one->reason.code() == bitdotio::errc::connection_lost);
    co_return one->reason.sqlstate();
}

/// Ends the connections that were opened under this name.
inline asio::awaitable<void> terminate(bitdotio::connection& c, std::string application) {
    co_await c.query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = $1",
        application);
}

/// A next() under way that can be cancelled, and how it ended.
struct pending {
    explicit pending(asio::any_io_executor where)
        : executor(where), ended(where, bitdotio::no_deadline) {}

    void start(bitdotio::listener& from) {
        const auto on_end = [this](std::exception_ptr thrown, bitdotio::listener_event event) {
            failure = thrown;
            if (!thrown) {
                value = std::move(event);
            }
            done = true;
            ended.cancel();
        };
        auto waiting = from.next();
        asio::co_spawn(executor, std::move(waiting),
                       asio::bind_cancellation_slot(signal.slot(), on_end));
    }
    asio::awaitable<void> wait() {
        boost::system::error_code ignored;
        if (!done) {
            co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
    }
    bitdotio::errc code() const {
        REQUIRE(failure);
        try {
            std::rethrow_exception(failure);
        } catch (const bitdotio::error& thrown) {
            return thrown.code();
        }
    }

    asio::any_io_executor executor;
    asio::steady_timer ended;
    asio::cancellation_signal signal;
    std::exception_ptr failure;
    std::optional<bitdotio::listener_event> value;
    bool done = false;
};

}  // namespace test
