// What a user's program needs of the installed libraries: it compiles, links and runs.
#include <bitdotio/api_key.hpp>
#include <bitdotio/error.hpp>
#include <bitdotio/local_server.hpp>
#include <bitdotio/pool.hpp>

#include <boost/asio/this_coro.hpp>

#include <iostream>

namespace asio = boost::asio;

// Only linked, never called: a server and a pool bring in everything else.
asio::awaitable<void> all_of_it() {
    bitdotio::local_server server =
        co_await bitdotio::local_server::start(bitdotio::local_server_options());
    bitdotio::pool pool(co_await asio::this_coro::executor, server.client_options().connect);
    co_await pool.query("SELECT $1", 1);
}

int main() {
    try {
        bitdotio::api_key("not a key");
    } catch (const bitdotio::error& e) {
        std::cout << e.what() << '\n';
        return 0;
    }
    return 1;
}
