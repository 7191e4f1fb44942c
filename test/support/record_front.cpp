// Runs one coroutine a direction; the server's knows where a message ends and whose turn is next.
#include "support/record_front.hpp"

#include "support/messages.hpp"
#include "support/wire_client.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <netinet/tcp.h>
#include <algorithm>
#include <array>
#include <string_view>

namespace test {

using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

// After one of these types the server may wait for the client, or for something to happen.
bool hands_over(char type) {
    return std::string_view("ZRGWANE").find(type) != std::string_view::npos;
}

// Writes made meanwhile arrive together: a client that reads one record finds the next.
class corked {
public:
    explicit corked(tcp::socket& socket) : socket_(socket) { set(1); }
    ~corked() { set(0); }
    corked(const corked&) = delete;
    corked& operator=(const corked&) = delete;

private:
    void set(int on) {
        ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_CORK, &on, sizeof on);
    }

    tcp::socket& socket_;
};

std::string settings(std::size_t bytes) {
    std::string all;
    for (int i = 0; all.size() < bytes; ++i) {
        const std::string value(std::min<std::size_t>(bytes - all.size(), 7'000), 'v');
        all += message('S', "filler_" + std::to_string(i) + '\0' + value + '\0');
    }
    return all;
}

}  // namespace

struct record_front::link {
    link(const asio::any_io_executor& executor, asio::ssl::context& tls)
        : client(executor, tls), server(executor) {}

    void close() {
        error_code ignored;
        client.next_layer().close(ignored);
        server.close(ignored);
    }

    asio::ssl::stream<tcp::socket> client;
    tcp::socket server;
};

record_front::record_front(const asio::any_io_executor& executor, std::uint16_t target,
                           const bitdotio::tls_identity& shown)
    : acceptor_(executor, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
      target_(target),
      tls_(asio::ssl::context::tls_server) {
    tls_.use_certificate_chain_file(shown.certificate_file.string());
    tls_.use_private_key_file(shown.key_file.string(), asio::ssl::context::pem);
}

std::shared_ptr<record_front> record_front::start(const asio::any_io_executor& executor,
                                                  std::uint16_t target,
                                                  const bitdotio::tls_identity& shown) {
    const std::shared_ptr<record_front> made(new record_front(executor, target, shown));
    asio::co_spawn(executor, made->accept_all(made), asio::detached);
    return made;
}

void record_front::close() {
    error_code ignored;
    acceptor_.close(ignored);
    for (const auto& each : links_) {
        if (const link_ptr on = each.lock()) {
            on->close();
        }
    }
}

awaitable<void> record_front::accept_all(std::shared_ptr<record_front> self) {
    const auto executor = acceptor_.get_executor();
    for (;;) {
        const auto on = std::make_shared<link>(executor, tls_);
        co_await acceptor_.async_accept(on->client.next_layer(), asio::use_awaitable);
        on->client.next_layer().set_option(tcp::no_delay(true));
        std::erase_if(links_, [](const auto& each) { return each.expired(); });
        links_.push_back(on);
        asio::co_spawn(executor, serve(self, on), asio::detached);
    }
}

awaitable<void> record_front::serve([[maybe_unused]] std::shared_ptr<record_front> self,
                                    link_ptr on) {
    std::string first(8, '\0');
    const auto room = asio::buffer(first);
    co_await asio::async_read(on->client.next_layer(), room, asio::use_awaitable);
    const tcp::endpoint target(asio::ip::address_v4::loopback(), target_);
    co_await on->server.async_connect(target, asio::use_awaitable);
    on->server.set_option(tcp::no_delay(true));
    if (first != ssl_request) {
        const auto request = asio::buffer(first);
        co_await asio::async_write(on->server, request, asio::use_awaitable);
        co_await pass_on(on);
        co_return;
    }
    const auto yes = asio::buffer("S", 1);
    co_await asio::async_write(on->client.next_layer(), yes, asio::use_awaitable);
    co_await on->client.async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
    asio::co_spawn(on->server.get_executor(), hear(self, on), asio::detached);
    co_await tell(self, on);
}

// The rest of a cancel request, and the end that answers it.
awaitable<void> record_front::pass_on(link_ptr on) {
    std::array<char, 64> bytes;
    const auto room = asio::buffer(bytes);
    const std::size_t size =
        co_await on->client.next_layer().async_read_some(room, asio::use_awaitable);
    const auto rest = asio::buffer(bytes, size);
    co_await asio::async_write(on->server, rest, asio::use_awaitable);
    error_code ended;
    co_await on->server.async_read_some(room, asio::redirect_error(asio::use_awaitable, ended));
    on->close();
}

awaitable<void> record_front::hear([[maybe_unused]] std::shared_ptr<record_front> self,
                                   link_ptr on) {
    std::array<char, 32'768> bytes;
    error_code failure;
    while (!failure) {
        const std::size_t size = co_await on->client.async_read_some(
            asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, failure));
        co_await asio::async_write(on->server, asio::buffer(bytes, size),
                                   asio::redirect_error(asio::use_awaitable, failure));
    }
    on->close();
}

awaitable<void> record_front::tell([[maybe_unused]] std::shared_ptr<record_front> self,
                                   link_ptr on) {
    std::array<char, 32'768> bytes;
    message_splitter splitter(side::backend);
    std::string held;
    bool begun = false;
    error_code failure;
    while (!failure) {
        const std::size_t size = co_await on->server.async_read_some(
            asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, failure));
        splitter.feed(std::string_view(bytes.data(), size));
        bool over = failure.failed();
        bool answered = over;
        while (auto next = splitter.next()) {
            if (next->type == 'Z' && !begun) {
                begun = true;
                held += settings(greeting);
            }
            held += next->bytes;
            over = hands_over(next->type);
            answered = next->type == 'Z';
        }
        over = over && splitter.is_between_messages();
        if (held.size() < gather && !answered) {
            continue;
        }
        gather = 0;
        const corked together(on->client.next_layer());
        std::size_t at = 0;
        while (at < held.size() && (over || held.size() - at >= record)) {
            const std::size_t part = std::min(record, held.size() - at);
            error_code unsent;
            co_await asio::async_write(on->client, asio::buffer(held.data() + at, part),
                                       asio::redirect_error(asio::use_awaitable, unsent));
            if (unsent) {
                on->close();
                co_return;
            }
            at += part;
        }
        held.erase(0, at);
    }
    on->close();
}

}  // namespace test
