// The server on its thread, and handwritten requests.
#include "support/test_server.hpp"

#include "support/secrets.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <boost/json.hpp>

#include <future>
#include <stdexcept>
#include <utility>

#include "support/run.hpp"

namespace test {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr std::chrono::seconds patience{60};

asio::awaitable<void> hold_server(bitdotio::local_server_options options,
                                  std::optional<bitdotio::local_server>& server) {
    server.emplace(co_await bitdotio::local_server::start(std::move(options)));
}

asio::awaitable<std::string> exchange(std::uint16_t port, std::string ca_file,
                                      std::string request) {
    asio::ssl::context context(asio::ssl::context::tls_client);
    context.load_verify_file(ca_file);
    asio::ssl::stream<tcp::socket> stream(co_await asio::this_coro::executor, context);
    stream.set_verify_mode(asio::ssl::verify_peer);
    stream.set_verify_callback(asio::ssl::host_name_verification("127.0.0.1"));
    const tcp::endpoint endpoint(asio::ip::make_address("127.0.0.1"), port);
    co_await stream.next_layer().async_connect(endpoint, asio::use_awaitable);
    co_await stream.async_handshake(asio::ssl::stream_base::client, asio::use_awaitable);
    co_await asio::async_write(stream, asio::buffer(request), asio::use_awaitable);
    std::string answer;
    boost::system::error_code ended;
    co_await asio::async_read(stream, asio::dynamic_buffer(answer),
                              asio::redirect_error(asio::use_awaitable, ended));
    co_return answer;
}

}  // namespace

template <class T>
T test_server::wait_for(asio::awaitable<T> work) {
    auto done = asio::co_spawn(io_, std::move(work), asio::use_future);
    if (done.wait_for(patience) != std::future_status::ready) {
        throw std::runtime_error("the server did not answer the test in time");
    }
    return done.get();
}

test_server::test_server(bitdotio::local_server_options options)
    : guard_(asio::make_work_guard(io_)), thread_([this] { io_.run(); }) {
    try {
        wait_for(hold_server(std::move(options), server_));
    } catch (...) {
        io_.stop();
        thread_.join();
        throw;
    }
}

test_server::~test_server() {
    try {
        stop();
    } catch (...) {  // the destructor of the server ends its processes
    }
    server_.reset();
    io_.stop();
    thread_.join();
}

std::uint16_t test_server::api_port() const {
    const std::string& url = api_url();
    return static_cast<std::uint16_t>(std::stoul(url.substr(url.rfind(':') + 1)));
}

bitdotio::database_name test_server::create_database(std::string_view name) {
    const std::string body = boost::json::serialize(boost::json::value{{"name", name}});
    const http_answer answer =
        https(api_port(), ca_file(),
              "POST /v2beta/db/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
              "Authorization: Bearer " +
                  key().reveal() + "\r\nContent-Length: " + std::to_string(body.size()) +
                  "\r\n\r\n" + body);
    if (answer.status != 201) {
        throw std::runtime_error("the database was not created: " + answer.body);
    }
    return boost::json::value_to<std::string>(boost::json::parse(answer.body).at("name"));
}

bitdotio::database_name test_server::fresh_database() {
    return create_database("fresh-" + std::to_string(++fresh_databases_));
}

bitdotio::connect_options test_server::connect_options(const bitdotio::database_name& name) const {
    bitdotio::connect_options options;
    options.hosts = {{postgres_host(), postgres_port()}};
    options.password = key().reveal();
    keep_secret(options.password);
    options.on_notice = expect_discreet_notice;
    options.database = name.full();
    options.ca_file = ca_file();
    return options;
}

void test_server::sleep(const bitdotio::database_name& name) {
    wait_for(server_->sleep(name));
}

void test_server::wait_until_asleep(const bitdotio::database_name& name) {
    wait_for(server_->wait_until_asleep(name));
}

bool test_server::is_asleep(const bitdotio::database_name& name) {
    return wait_for(server_->is_asleep(name));
}

void test_server::refuse_next(int count) {
    wait_for(server_->refuse_next(count));
}

void test_server::hang_up(const bitdotio::database_name& name) {
    wait_for(server_->hang_up(name));
}

void test_server::wake(const bitdotio::database_name& name) {
    wait_for(server_->wake(name));
}

void test_server::delay(const bitdotio::database_name& name, std::chrono::milliseconds time) {
    wait_for(server_->delay(name, time));
}

void test_server::fill(const bitdotio::database_name& name, bool full) {
    wait_for(server_->fill(name, full));
}

std::uint64_t test_server::accepted_connections() {
    return wait_for(server_->accepted_connections());
}

void test_server::stop() {
    wait_for(server_->stop());
}

http_answer https(std::uint16_t port, const std::string& ca_file, const std::string& request) {
    const std::string text = run(exchange(port, ca_file, request), patience);
    http_answer answer;
    const std::size_t end = text.find("\r\n\r\n");
    if (!text.starts_with("HTTP/1.") || end == std::string::npos) {
        throw std::runtime_error("not an HTTP answer: \"" + text + "\"");
    }
    answer.head = text.substr(0, end);
    answer.status = static_cast<unsigned>(std::stoul(text.substr(9, 3)));
    answer.body = text.substr(end + 4);
    return answer;
}

}  // namespace test
