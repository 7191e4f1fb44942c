// A cancellation that comes between two steps of an operation of Beast.
#include "base/hang_up.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <string_view>

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using namespace std::chrono_literals;

// The reader of a header whose peer falls silent after its first bytes.
struct reading {
    asio::io_context io;
    tcp::socket peer{io};
    tcp::socket socket{io};
    bitdotio::hang_up ending{socket};
    asio::cancellation_signal signal;
    boost::system::error_code failure;
    bool ended = false;

    reading() {
        tcp::acceptor listening(io, {asio::ip::make_address("127.0.0.1"), 0});
        peer.connect(listening.local_endpoint());
        listening.accept(socket);
        asio::write(peer, asio::buffer(std::string_view("HTTP/1.1 20")));
        socket.wait(tcp::socket::wait_read);
    }

    asio::awaitable<void> read(bool hangs_up) {
        if (hangs_up) co_await asio::this_coro::reset_cancellation_state(ending.filter());
        boost::beast::flat_buffer buffer;
        http::response_parser<http::empty_body> header;
        co_await http::async_read_header(socket, buffer, header,
                                         asio::redirect_error(asio::use_awaitable, failure));
    }

    // Cancels once the first bytes are read, before they are looked at.
    void cancel_between_steps(bool hangs_up) {
        asio::post(io, [this, hangs_up] {
            const auto on_end = [this](const std::exception_ptr&) { ended = true; };
            asio::co_spawn(io, read(hangs_up), asio::bind_cancellation_slot(signal.slot(), on_end));
            REQUIRE(socket.available() == 0);
            signal.emit(asio::cancellation_type::terminal);
        });
        while (io.poll_one() > 0) {
        }
    }
};

TEST_CASE("a socket that is hung up ends the operation whose next step would have waited") {
    reading one;
    one.cancel_between_steps(true);
    CHECK(one.ended);
    CHECK(one.ending.happened());
    CHECK(one.failure);
    CHECK(one.ending.cause(one.failure) == asio::error::operation_aborted);
}

TEST_CASE("without it the operation goes on, which is why there is such a thing") {
    reading one;
    one.cancel_between_steps(false);
    CHECK_FALSE(one.ended);
    one.peer.close();
    one.io.run_for(60s);
    CHECK(one.ended);
    CHECK(one.ending.cause(one.failure) == one.failure);
}

}  // namespace
