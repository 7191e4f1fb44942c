// Two pumps, one for each direction.
#include "server/splice.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <exception>
#include <vector>

namespace bitdotio {

namespace {

// One TLS record holds 16 KiB; two of them a turn cost no more memory than a session does anyway.
constexpr std::size_t buffer_size = 32 * 1024;

enum class direction { upstream, downstream };

template <class From, class To>
asio::awaitable<void> pump(From& from, To& to) {
    std::vector<char> bytes(buffer_size);
    boost::system::error_code failure;
    while (true) {
        const std::size_t size = co_await from.async_read_some(
            asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, failure));
        if (size > 0) {
            boost::system::error_code unsent;
            co_await asio::async_write(to, asio::buffer(bytes.data(), size),
                                       asio::redirect_error(asio::use_awaitable, unsent));
            if (unsent) co_return;
        }
        if (failure) co_return;
    }
}

asio::awaitable<direction> pump_up(asio::ssl::stream<asio::ip::tcp::socket>& client,
                                   backend_link& backend) {
    co_await pump(client, backend);
    // PostgreSQL ends a session whose client stopped sending once it has answered.
    boost::system::error_code ignored;
    backend.shutdown(asio::socket_base::shutdown_send, ignored);
    co_return direction::upstream;
}

asio::awaitable<direction> pump_down(backend_link& backend,
                                     asio::ssl::stream<asio::ip::tcp::socket>& client) {
    co_await pump(backend, client);
    co_return direction::downstream;
}

// The way down decides: with its end there is nothing left to say to the client.
struct until_downstream_ends {
    asio::cancellation_type operator()(std::exception_ptr failure, direction ended) const {
        return failure || ended == direction::downstream ? asio::cancellation_type::terminal
                                                         : asio::cancellation_type::none;
    }
};

}  // namespace

asio::awaitable<void> splice(asio::ssl::stream<asio::ip::tcp::socket>& client,
                             backend_link& backend) {
    const auto executor = co_await asio::this_coro::executor;
    auto both = asio::experimental::make_parallel_group(
        asio::co_spawn(executor, pump_up(client, backend), asio::deferred),
        asio::co_spawn(executor, pump_down(backend, client), asio::deferred));
    co_await both.async_wait(until_downstream_ends(), asio::use_awaitable);
}

}  // namespace bitdotio
