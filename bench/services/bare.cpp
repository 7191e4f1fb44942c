// A bare HTTPS server on Beast, one thread: every request gets the same answer.
//
//   bench_bare CERTIFICATE KEY FILE     prints its port; FILE has the body of the answer
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

namespace {

asio::awaitable<void> serve(tcp::socket socket, asio::ssl::context& tls, const std::string& body) {
    beast::ssl_stream<beast::tcp_stream> stream(std::move(socket), tls);
    boost::system::error_code failure;
    auto token = asio::redirect_error(asio::use_awaitable, failure);
    co_await stream.async_handshake(asio::ssl::stream_base::server, token);
    beast::flat_buffer buffer;
    while (!failure) {
        http::request<http::string_body> request;
        co_await http::async_read(stream, buffer, request, token);
        if (failure) break;
        http::response<http::string_body> response(http::status::ok, request.version());
        response.set(http::field::content_type, "application/json");
        response.body() = body;
        response.keep_alive(request.keep_alive());
        response.prepare_payload();
        co_await http::async_write(stream, response, token);
    }
}

asio::awaitable<void> accept(tcp::acceptor& acceptor, asio::ssl::context& tls,
                             const std::string& body) {
    for (;;) {
        tcp::socket socket = co_await acceptor.async_accept(asio::use_awaitable);
        socket.set_option(tcp::no_delay(true));
        asio::co_spawn(acceptor.get_executor(), serve(std::move(socket), tls, body),
                       asio::detached);
    }
}

}  // namespace

int main(int, char** words) {
    asio::io_context io(1);
    asio::ssl::context tls(asio::ssl::context::tls_server);
    tls.use_certificate_chain_file(words[1]);
    tls.use_private_key_file(words[2], asio::ssl::context::pem);
    std::ifstream file(words[3], std::ios::binary);
    const std::string body(std::istreambuf_iterator<char>(file), {});
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    std::printf("%d\n", acceptor.local_endpoint().port());
    std::fflush(stdout);
    asio::co_spawn(io, accept(acceptor, tls, body), asio::detached);
    io.run();
}
