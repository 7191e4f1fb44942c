// Builds and parses messages without any of the library's code, except for SCRAM's keys.
#include "support/wire_client.hpp"

#include "server/hosts/scram_client.hpp"

#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <stdexcept>

namespace test {

using asio::use_awaitable;

namespace {

std::uint32_t parse_number(const std::string& bytes, std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        value = value << 8 | static_cast<unsigned char>(bytes.at(at + i));
    }
    return value;
}

}  // namespace

std::string number(std::uint32_t value) {
    std::string bytes;
    for (const int shift : {24, 16, 8, 0}) {
        bytes.push_back(static_cast<char>(value >> shift & 0xff));
    }
    return bytes;
}

std::string packet(const std::string& body) {
    return number(static_cast<std::uint32_t>(body.size() + 4)) + body;
}

std::string message(char type, const std::string& body) {
    return type + packet(body);
}

std::string startup(const std::vector<std::pair<std::string, std::string>>& parameters,
                    std::uint32_t version) {
    std::string body = number(version);
    for (const auto& [name, value] : parameters) {
        body += name + '\0' + value + '\0';
    }
    return packet(body + '\0');
}

std::string reply::field(char code) const {
    std::size_t at = 0;
    while (at < body.size() && body[at] != '\0') {
        const std::size_t end = body.find('\0', at);
        if (body[at] == code) return body.substr(at + 1, end - at - 1);
        at = end + 1;
    }
    return "";
}

wire_client::wire_client(asio::any_io_executor executor)
    : context_(asio::ssl::context::tls_client), stream_(executor, context_) {}

asio::awaitable<void> wire_client::connect(std::uint16_t port) {
    const asio::ip::tcp::endpoint server(asio::ip::make_address("127.0.0.1"), port);
    co_await stream_.next_layer().async_connect(server, use_awaitable);
}

asio::awaitable<void> wire_client::secure(std::string alpn) {
    if (!alpn.empty()) {
        const std::string offered = static_cast<char>(alpn.size()) + alpn;
        SSL_set_alpn_protos(stream_.native_handle(),
                            reinterpret_cast<const unsigned char*>(offered.data()),
                            static_cast<unsigned>(offered.size()));
    }
    co_await stream_.async_handshake(asio::ssl::stream_base::client, use_awaitable);
    secured_ = true;
}

asio::awaitable<void> wire_client::connect_securely(std::uint16_t port) {
    co_await connect(port);
    co_await send(ssl_request);
    const char answer = co_await receive_byte();
    if (answer != 'S') throw std::runtime_error("TLS was refused");
    co_await secure("");
}

asio::awaitable<bool> wire_client::show_key(std::string key) {
    constexpr std::uint32_t sasl = 10;
    last = co_await receive();
    if (last.type != 'R') co_return false;
    if (parse_number(last.body, 0) != sasl) {
        co_await send(message('p', key + '\0'));
        co_return true;
    }
    bitdotio::scram_client client(std::move(key), bitdotio::base64(bitdotio::random_octets(18)));
    const std::string first = client.first();
    const std::string mechanism(bitdotio::scram_client::mechanism);
    const std::string size = number(static_cast<std::uint32_t>(first.size()));
    co_await send(message('p', mechanism + '\0' + size + first));
    last = co_await receive();
    if (last.type != 'R') co_return false;
    const std::string answer = client.answer(last.body.substr(4));
    co_await send(message('p', answer));
    co_return true;
}

asio::awaitable<bool> wire_client::log_in(std::uint16_t port, std::string database,
                                          std::string key) {
    co_await connect_securely(port);
    const std::string wish = startup({{"user", "anybody"}, {"database", std::move(database)}});
    co_await send(wish);
    const bool shown = co_await show_key(std::move(key));
    if (!shown) co_return false;
    while (true) {
        last = co_await receive();
        if (last.type == 'E') co_return false;
        if (last.type == 'K') {
            pid = parse_number(last.body, 0);
            secret = parse_number(last.body, 4);
        }
        if (last.type == 'Z') co_return true;
    }
}

asio::awaitable<void> wire_client::send(std::string bytes) {
    const auto data = asio::buffer(std::as_const(bytes));
    if (secured_) {
        co_await asio::async_write(stream_, data, use_awaitable);
    } else {
        co_await asio::async_write(stream_.next_layer(), data, use_awaitable);
    }
}

asio::awaitable<std::string> wire_client::receive_bytes(std::size_t size) {
    std::string bytes(size, '\0');
    const auto room = asio::buffer(bytes);
    if (secured_) {
        co_await asio::async_read(stream_, room, use_awaitable);
    } else {
        co_await asio::async_read(stream_.next_layer(), room, use_awaitable);
    }
    co_return bytes;
}

asio::awaitable<char> wire_client::receive_byte() {
    const std::string byte = co_await receive_bytes(1);
    co_return byte[0];
}

asio::awaitable<reply> wire_client::receive() {
    reply received;
    const std::string head = co_await receive_bytes(5);
    received.type = head[0];
    received.body = co_await receive_bytes(parse_number(head, 1) - 4);
    co_return received;
}

asio::awaitable<reply> wire_client::receive_until(char type) {
    while (true) {
        reply received = co_await receive();
        if (received.type == 'E') last = received;
        if (received.type == type) co_return received;
    }
}

asio::awaitable<std::string> wire_client::query(std::string sql) {
    co_await send(message('Q', sql + '\0'));
    std::string first;
    bool seen = false;
    while (true) {
        const reply received = co_await receive();
        if (received.type == 'E') last = received;
        if (received.type == 'Z') co_return first;
        if (received.type == 'D' && !seen) {
            const std::uint32_t size = parse_number(received.body, 2);
            if (size != 0xffffffff) first = received.body.substr(6, size);
            seen = true;
        }
    }
}

asio::awaitable<boost::system::error_code> wire_client::end() {
    boost::system::error_code ended;
    char byte = 0;
    const auto room = asio::buffer(&byte, 1);
    if (secured_) {
        co_await stream_.async_read_some(room, asio::redirect_error(use_awaitable, ended));
    } else {
        co_await stream_.next_layer().async_read_some(room,
                                                      asio::redirect_error(use_awaitable, ended));
    }
    co_return ended;
}

void wire_client::close() {
    boost::system::error_code ignored;
    stream_.next_layer().close(ignored);
}

void wire_client::reset() {
    boost::system::error_code ignored;
    stream_.next_layer().set_option(asio::socket_base::linger(true, 0), ignored);
    close();
}

}  // namespace test
