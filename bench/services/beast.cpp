// An HTTP service on Beast and the pool, one thread: GET /account/ID, GET /accounts/ID (twenty
// rows), POST /account/ID (an update).
//
//   bench_service DSN CONNECTIONS     prints its port
#include <bitdotio/bitdotio.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace asio = boost::asio;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;

namespace {

struct account {
    int id;
    std::string name;
    std::int64_t balance;
};

void append(std::string& json, const account& one) {
    json += "{\"id\":" + std::to_string(one.id) + ",\"name\":\"" + one.name +
            "\",\"balance\":" + std::to_string(one.balance) + "}";
}

asio::awaitable<std::string> answer(bitdotio::pool& pool, http::verb method,
                                    std::string_view target) {
    int id = 0;
    std::from_chars(target.data() + target.rfind('/') + 1, target.data() + target.size(), id);
    std::string json;
    if (method == http::verb::post) {
        const std::uint64_t changed =
            co_await pool.execute("UPDATE account SET seen = seen + 1 WHERE id = $1", id);
        json = "{\"changed\":" + std::to_string(changed) + "}";
    } else if (target.starts_with("/accounts/")) {
        const bitdotio::result rows = co_await pool.query(
            "SELECT id, name, balance FROM account WHERE id >= $1 ORDER BY id LIMIT 20", id);
        json = "[";
        for (const account& one : rows.rows_as<account>()) {
            if (json.size() > 1) json += ',';
            append(json, one);
        }
        json += ']';
    } else {
        const bitdotio::result rows =
            co_await pool.query("SELECT id, name, balance FROM account WHERE id = $1", id);
        append(json, rows[0].as<account>());
    }
    co_return json;
}

asio::awaitable<void> serve(tcp::socket socket, bitdotio::pool& pool) {
    boost::beast::flat_buffer buffer;
    boost::system::error_code failure;
    while (!failure) {
        http::request<http::empty_body> request;
        co_await http::async_read(socket, buffer, request,
                                  asio::redirect_error(asio::use_awaitable, failure));
        if (failure) break;
        http::response<http::string_body> response(http::status::ok, request.version());
        response.set(http::field::content_type, "application/json");
        const std::string_view target(request.target().data(), request.target().size());
        response.body() = co_await answer(pool, request.method(), target);
        response.keep_alive(request.keep_alive());
        response.prepare_payload();
        co_await http::async_write(socket, response,
                                   asio::redirect_error(asio::use_awaitable, failure));
    }
}

asio::awaitable<void> accept(tcp::acceptor& acceptor, bitdotio::pool& pool) {
    for (;;) {
        tcp::socket socket = co_await acceptor.async_accept(asio::use_awaitable);
        socket.set_option(tcp::no_delay(true));
        asio::co_spawn(acceptor.get_executor(), serve(std::move(socket), pool), asio::detached);
    }
}

}  // namespace

int main(int, char** words) {
    asio::io_context io(1);
    bitdotio::pool_options options;
    options.max_size = std::strtoul(words[2], nullptr, 10);
    bitdotio::pool pool(io.get_executor(), bitdotio::connect_options::parse(words[1]), options);
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    std::printf("%d\n", acceptor.local_endpoint().port());
    std::fflush(stdout);
    asio::co_spawn(io, accept(acceptor, pool), asio::detached);
    io.run();
}
