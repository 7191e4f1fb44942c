// `bit serve` without a limit of calls, which a benchmark would only measure.
//
//   bench_server DIRECTORY [BACKEND]     ends at SIGTERM; its profile is DIRECTORY/profile.json
#include <bitdotio/local_server.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <csignal>
#include <cstdio>
#include <exception>

namespace asio = boost::asio;

namespace {

asio::awaitable<void> serve(bitdotio::local_server_options options, asio::signal_set& end) {
    bitdotio::local_server server = co_await bitdotio::local_server::start(options);
    std::puts("ready");
    std::fflush(stdout);
    co_await end.async_wait(asio::use_awaitable);
    co_await server.stop();
}

}  // namespace

int main(int count, char** words) {
    bitdotio::local_server_options options;
    options.data_directory = std::string(words[1]) + "/data";
    options.profile_file = std::string(words[1]) + "/profile.json";
    options.call_burst = options.calls_per_second = 1'000'000'000;
    options.max_connections = 200;
    if (count > 2) options.backend = words[2];
    asio::io_context io(1);
    asio::signal_set end(io, SIGTERM, SIGINT);
    asio::co_spawn(io, serve(options, end), [&](const std::exception_ptr& failure) {
        if (failure) std::rethrow_exception(failure);
        io.stop();
    });
    io.run();
}
