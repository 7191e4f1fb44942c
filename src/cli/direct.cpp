// Opens a connection, with a watcher beside it that knocks at the port.
#include "cli/direct.hpp"

#include "base/spawn.hpp"
#include "cli/output.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <unistd.h>
#include <algorithm>
#include <exception>
#include <string>
#include <tuple>
#include <utility>

namespace bitdotio::cli {

namespace {

using asio::ip::tcp;
using std::chrono::steady_clock;

// Opening takes less where all is well.
constexpr std::chrono::seconds between_knocks{1};
// A server that is being started again on this machine is back by then; one that has left a profile
// behind gets other ports then.
constexpr std::chrono::milliseconds patience_with_this_machine{5'000};
constexpr std::chrono::milliseconds patience_with_the_gone{1'000};

bool is_loopback(const std::string& host) {
    return host == "localhost" || host == "::1" || host.starts_with("127.");
}

std::string place_of(const host_port& host) {
    const bool bracketed = host.host.find(':') != std::string::npos;
    return (bracketed ? "[" + host.host + "]" : host.host) + ":" + std::to_string(host.port);
}

// Whether the port refuses connections; not where it takes them or nothing comes back.
asio::awaitable<bool> refuses(host_port at) {
    const auto executor = co_await asio::this_coro::executor;
    tcp::resolver resolver(executor);
    boost::system::error_code failure;
    const auto found = co_await resolver.async_resolve(
        at.host, std::to_string(at.port), asio::redirect_error(asio::use_awaitable, failure));
    if (failure) co_return false;
    tcp::socket socket(executor);
    co_await asio::async_connect(socket, found, asio::redirect_error(asio::use_awaitable, failure));
    co_return failure == asio::error::connection_refused;
}

// How long it is worth knocking at a port that refuses. It blocks for a moment.
std::chrono::milliseconds patience_with(const direct_target& target) {
    if (target.has_bound) return target.where.wake_timeout;
    if (!target.profile.empty() && !is_alive(target.profile)) return patience_with_the_gone;
    if (is_loopback(target.where.hosts.at(0).host)) return patience_with_this_machine;
    return target.where.wake_timeout;
}

// Never ends by itself, but with the error of a port at which nobody will answer.
asio::awaitable<void> watch(direct_target target) {
    const auto begin = steady_clock::now();
    const host_port at = target.where.hosts.at(0);
    asio::steady_timer pause(co_await asio::this_coro::executor);
    bool told = false;
    for (;;) {
        pause.expires_after(between_knocks);
        co_await pause.async_wait(asio::use_awaitable);
        const bool refused = co_await refuses(at);
        const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) {  // it is open, or not wanted
            throw error(errc::cancelled, "connecting was cancelled").with(outcome::not_sent);
        }
        const auto bound = refused ? patience_with(target) : target.where.wake_timeout;
        const bool gives_up = bound < target.where.wake_timeout;
        if (gives_up && steady_clock::now() - begin >= bound) {
            throw error(errc::connect_failed, "cannot connect: " + place_of(at) +
                                                  " has refused connections for " +
                                                  time_text(bound) + ": no server listens there")
                .with(outcome::not_sent);
        }
        if (target.telling && !std::exchange(told, true)) {
            tell("bit: waiting for " +
                 (refused ? place_of(at) + " to accept connections (refused)"
                          : target.where.database + " to wake") +
                 ", for up to " + time_text(bound) + "; --timeout " +
                 (gives_up ? "sets another bound" : "shortens it"));
        }
    }
}

asio::awaitable<void> open(connect_options where, std::optional<connection>& opened) {
    opened.emplace(co_await connection::open(std::move(where)));
}

}  // namespace

direct_target direct_target_of(const arguments& words, const service_place& where,
                               bitdotio::connect_options options) {
    direct_target target;
    target.where = std::move(options);
    target.telling = is_terminal(STDERR_FILENO) || words.has("--verbose");
    target.has_bound = words.has("--timeout");
    // A server that says nothing at all is not waited for longer than one that sleeps.
    target.where.connect_timeout =
        std::min(target.where.connect_timeout, target.where.wake_timeout);
    if (where.is_of_profile) target.profile = where.profile.file;
    return target;
}

asio::awaitable<void> open_directly(direct_target target, std::optional<connection>& opened) {
    const auto executor = co_await asio::this_coro::executor;
    auto opening = asio::experimental::make_parallel_group(
        beside(executor, open(target.where, opened)), beside(executor, watch(target)));
    const auto ended =
        co_await opening.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    const bool gave_up = std::get<0>(ended)[0] == 1;
    const std::exception_ptr failure = gave_up ? std::get<2>(ended) : std::get<1>(ended);
    if (gave_up) opened.reset();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace bitdotio::cli
