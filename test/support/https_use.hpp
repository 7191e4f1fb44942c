// How tests speak to an HTTPS server through one session, and what they expect of its failures.
#pragma once

#include "service/https_session.hpp"

#include <bitdotio/error.hpp>

#include <boost/asio/awaitable.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace test {

inline bitdotio::time_point in(std::chrono::milliseconds time) {
    return std::chrono::steady_clock::now() + time;
}

inline bitdotio::https_address address_of(std::uint16_t port,
                                          const std::string& host = "127.0.0.1") {
    bitdotio::https_address address;
    address.host = host;
    address.port = port;
    return address;
}

/// A request for the list of databases.
template <class Server>
bitdotio::https_request list_request(Server& server) {
    bitdotio::https_request request;
    request.target = "/v2beta/db/";
    request.authorization = "Bearer " + server.key().reveal();
    request.user_agent = "test";
    return request;
}

/// What a request fails with.
inline boost::asio::awaitable<bitdotio::error> failure_of(bitdotio::https_session& session,
                                                          bitdotio::https_request request,
                                                          bitdotio::time_point deadline) {
    std::optional<bitdotio::error> failure;
    try {
        co_await session.request(std::move(request), deadline);
    } catch (const bitdotio::error& thrown) {
        failure = thrown;
    }
    REQUIRE(failure);
    co_return *failure;
}

inline void check_failure(const bitdotio::error& failure, bitdotio::errc code, bitdotio::phase when,
                          bitdotio::outcome known) {
    CAPTURE(std::string(failure.what()));
    CHECK(std::string(to_string(failure.code())) == to_string(code));
    CHECK(failure.phase() == when);
    CHECK(failure.outcome() == known);
}

}  // namespace test
