// Runs two coroutines for each connection, one a direction.
#include "support/relay.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <utility>

namespace test {

namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using relay_ptr = std::shared_ptr<relay>;
using socket_ptr = std::shared_ptr<tcp::socket>;

awaitable<void> pump(relay_ptr owner, socket_ptr from, socket_ptr to, bool from_client) {
    std::array<char, 4096> room;
    boost::system::error_code failure;
    bool said_something = false;
    for (;;) {
        const std::size_t size = co_await from->async_read_some(
            asio::buffer(room), asio::redirect_error(asio::use_awaitable, failure));
        if (failure) {
            break;
        }
        if (from_client && !std::exchange(said_something, true)) {
            owner->openings.emplace_back(room.data(), size);
        }
        if (from_client && owner->mode == relay_mode::swallow) {
            owner->swallowed += size;
            continue;
        }
        if (from_client && owner->mode == relay_mode::cut) {
            owner->hang_up();
            break;
        }
        co_await asio::async_write(*to, asio::buffer(room, size),
                                   asio::redirect_error(asio::use_awaitable, failure));
        if (failure) {
            break;
        }
    }
    owner->ended += from_client ? 1 : 0;
    boost::system::error_code ignored;
    to->close(ignored);
}

awaitable<void> serve(relay_ptr owner) {
    const auto executor = co_await asio::this_coro::executor;
    for (;;) {
        const auto client = std::make_shared<tcp::socket>(executor);
        const auto server = std::make_shared<tcp::socket>(executor);
        co_await owner->acceptor.async_accept(*client, asio::use_awaitable);
        ++owner->accepted;
        owner->clients.push_back(client);
        const tcp::endpoint target(asio::ip::address_v4::loopback(), owner->target);
        co_await server->async_connect(target, asio::use_awaitable);
        asio::co_spawn(executor, pump(owner, client, server, true), asio::detached);
        asio::co_spawn(executor, pump(owner, server, client, false), asio::detached);
    }
}

}  // namespace

relay_ptr relay::start(const asio::any_io_executor& executor, std::uint16_t target,
                       const std::string& address) {
    const tcp::endpoint place(asio::ip::make_address(address), 0);
    const relay_ptr made(new relay{.acceptor = tcp::acceptor(executor, place),
                                   .target = target,
                                   .openings = {},
                                   .clients = {}});
    asio::co_spawn(executor, serve(made), asio::detached);
    return made;
}

void relay::hang_up() {
    for (const auto& client : clients) {
        boost::system::error_code ignored;
        client->close(ignored);
    }
    clients.clear();
}

}  // namespace test
