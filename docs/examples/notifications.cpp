// Listens to a channel and prints its notifications: `example_notifications "dbname=shop" orders`.
#include <bitdotio/bitdotio.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>

#include <exception>
#include <iostream>
#include <string>
#include <variant>

namespace asio = boost::asio;

asio::awaitable<void> print(bitdotio::connect_options options, std::string channel) {
    bitdotio::listener ears(co_await asio::this_coro::executor, options);
    co_await ears.listen(channel);
    std::cout << "listening to " << channel << std::endl;
    for (;;) {
        const bitdotio::listener_event event = co_await ears.next();
        if (const auto* told = std::get_if<bitdotio::notification>(&event)) {
            std::cout << told->channel << ": " << told->payload << std::endl;
        } else {
            const auto& gap = std::get<bitdotio::notification_gap>(event);
            std::cout << "some may have been missed: " << gap.reason.what() << std::endl;
        }
    }
}

int main(int argc, char** argv) {
    if (argc != 3) {
        std::cerr << "usage: " << argv[0] << " CONNINFO CHANNEL\n";
        return 2;
    }
    try {
        auto options = bitdotio::connect_options::from_environment(argv[1]);
        options.on_notice = [](const bitdotio::server_message& notice) {
            std::cerr << notice.severity << ": " << notice.message << "\n";
        };
        asio::io_context io;
        asio::co_spawn(io, print(options, argv[2]), [](std::exception_ptr failure) {
            if (failure) {
                std::rethrow_exception(failure);
            }
        });
        io.run();
    } catch (const std::exception& failure) {
        std::cerr << failure.what() << "\n";
        return 1;
    }
}
