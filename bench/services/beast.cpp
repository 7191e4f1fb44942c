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
#include <string_view>
#include <utility>

namespace asio = boost::asio;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;

namespace {

struct account {
    int id;
    std::string_view name;  // within its row
    std::int64_t balance;
};

constexpr auto select_one = "SELECT id, name, balance FROM account WHERE id = $1";
constexpr auto select_twenty =
    "SELECT id, name, balance FROM account WHERE id >= $1 ORDER BY id LIMIT 20";
constexpr auto update_one = "UPDATE account SET seen = seen + 1 WHERE id = $1";

void append(std::string& json, std::int64_t number) {
    char digits[24];
    json.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

void append(std::string& json, std::string_view text) {
    json += '"';
    for (const char c : text) {
        if (c == '"' || c == '\\') json += '\\';
        if (static_cast<unsigned char>(c) >= ' ') {
            json += c;
        } else {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
            json += escape;
        }
    }
    json += '"';
}

void append(std::string& json, const account& row) {
    json += R"({"id":)";
    append(json, std::int64_t{row.id});
    json += R"(,"name":)";
    append(json, row.name);
    json += R"(,"balance":)";
    append(json, row.balance);
    json += '}';
}

// Appends the answer to a request to `json`.
asio::awaitable<void> answer(bitdotio::pool& pool, http::verb method, std::string_view target,
                             std::string& json) {
    int id = 0;
    std::from_chars(target.data() + target.rfind('/') + 1, target.data() + target.size(), id);
    if (method == http::verb::post) {
        const std::uint64_t changed = co_await pool.execute(update_one, id);
        json += R"({"changed":)";
        append(json, static_cast<std::int64_t>(changed));
        json += '}';
    } else if (target.starts_with("/accounts/")) {
        const bitdotio::result rows = co_await pool.query(select_twenty, id);
        json += '[';
        for (const account& row : rows.rows_as<account>()) {
            if (json.size() > 1) json += ',';
            append(json, row);
        }
        json += ']';
    } else {
        const bitdotio::result rows = co_await pool.query(select_one, id);
        append(json, rows[0].as<account>());
    }
}

// The buffer, and the answer with its headers, are those of the connection: a request more takes no
// new ones. Header and body leave in one write.
asio::awaitable<void> serve(tcp::socket socket, bitdotio::pool& pool) {
    boost::beast::flat_buffer buffer;
    http::response<http::string_body> response(http::status::ok, 11);
    response.set(http::field::content_type, "application/json");
    boost::system::error_code failure;
    auto token = asio::redirect_error(asio::use_awaitable, failure);
    while (!failure) {
        http::request<http::empty_body> request;
        co_await http::async_read(socket, buffer, request, token);
        if (failure) break;
        const std::string_view target(request.target().data(), request.target().size());
        response.body().clear();
        co_await answer(pool, request.method(), target, response.body());
        response.keep_alive(request.keep_alive());
        response.prepare_payload();
        co_await http::async_write(socket, response, token);
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
    // Requests are single short statements, which may share connections.
    options.multiplex.emplace();
    bitdotio::pool pool(io.get_executor(), bitdotio::connect_options::parse(words[1]), options);
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    std::printf("%d\n", acceptor.local_endpoint().port());
    std::fflush(stdout);
    asio::co_spawn(io, accept(acceptor, pool), asio::detached);
    io.run();
}
