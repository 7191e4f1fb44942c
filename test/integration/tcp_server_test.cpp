// A tcp_server whose connections fail in unforeseen ways.
#include "server/base/tcp_server.hpp"
#include "server/base/event_log.hpp"
#include "support/namespaces.hpp"

#include <bitdotio/error.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace bitdotio;
using asio::ip::tcp;

// A connection that fails in a given way.
class failing_connection final : public server_connection {
public:
    failing_connection(tcp::socket socket, std::function<void()> failure)
        : socket_(std::move(socket)), failure_(std::move(failure)) {}

    asio::any_io_executor executor() override { return socket_.get_executor(); }
    asio::awaitable<void> serve() override {
        failure_();
        co_return;
    }
    void leave() override {}
    void cut() noexcept override {}

private:
    tcp::socket socket_;
    const std::function<void()> failure_;
};

// A tcp_server whose connections, or their making, fail one after the other, and what its log says.
struct house {
    explicit house(std::vector<std::function<void()>> made, std::vector<std::function<void()>> met)
        : entrance(std::make_shared<tcp_server>(
              io.get_executor(), [this, made, met](tcp::socket socket) {
                  const std::size_t number = count++;
                  if (number < made.size()) made[number]();
                  return std::make_shared<failing_connection>(std::move(socket), met.at(number));
              })) {
        entrance->report_to(events);
        entrance->listen("127.0.0.1", 0);
        entrance->open();
    }

    // Connects, and fails or succeeds: the tcp_server hangs up in any case.
    void visit() {
        tcp::socket client(io);
        client.connect(tcp::endpoint(asio::ip::make_address("127.0.0.1"), entrance->port()));
        char answer = 0;
        auto hung_up = asio::async_read(client, asio::buffer(&answer, 1), asio::use_future);
        while (hung_up.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
            CHECK(io.run_one_for(std::chrono::seconds(10)) == 1);
        }
        CHECK_THROWS(hung_up.get());
        while (io.poll_one() > 0) {
        }
    }

    void close() {
        asio::co_spawn(io, entrance->close(std::chrono::milliseconds(0)),
                       [](std::exception_ptr) {});
        io.run();
    }

    asio::io_context io{1};
    std::vector<std::string> told;
    std::size_t count = 0;
    std::shared_ptr<event_log> events =
        std::make_shared<event_log>([this](const server_event& event) {
            told.push_back(event.kind + ": " + event.text_of("reason"));
        });
    std::shared_ptr<tcp_server> entrance;
};

void nothing() {}

TEST_CASE("a server_connection that fails otherwise than by its connection is told to the log") {
    house one({}, {[] { throw std::runtime_error("hunter2"); }, [] { throw 42; }, nothing,
                   [] { throw error(errc::timeout, "too late"); },
                   [] { throw boost::system::system_error(asio::error::connection_reset); }});
    for (int i = 0; i < 5; ++i)
        one.visit();
    one.close();
    CHECK(one.told ==
          std::vector<std::string>{"internal_failure: std::runtime_error",
                                   "internal_failure: something that is no std::exception"});
}

TEST_CASE("a tcp_server that cannot make a server_connection tells the log, and lets in the next") {
    house one({[] { throw error(errc::system_failed, "no TLS"); }, [] { throw std::bad_alloc(); }},
              {nothing, nothing, [] { throw std::runtime_error("it came in"); }});
    for (int i = 0; i < 3; ++i)
        one.visit();
    one.close();
    CHECK(one.count == 3);
    CHECK(one.told == std::vector<std::string>{"internal_failure: no TLS",
                                               "internal_failure: std::bad_alloc",
                                               "internal_failure: std::runtime_error"});
}

// A connection that stays until it is cut. It says at once whether it is welcome, and its client
// may show who it is.
class lasting_connection final : public server_connection {
public:
    lasting_connection(tcp::socket socket, bool proves)
        : socket_(std::move(socket)), proves_(proves) {}

    asio::any_io_executor executor() override { return socket_.get_executor(); }
    asio::awaitable<void> serve() override {
        if (proves_) prove();
        const std::string words = refusal().empty() ? "welcome" : refusal();
        co_await asio::async_write(socket_, asio::buffer(words + "\n"), asio::use_awaitable);
        char byte = 0;
        const auto room = asio::buffer(&byte, 1);
        co_await asio::async_read(socket_, room, asio::use_awaitable);
    }
    void leave() override { cut(); }
    void cut() noexcept override {
        boost::system::error_code ignored;
        socket_.close(ignored);
    }

private:
    tcp::socket socket_;
    const bool proves_;
};

connection_limits two_places() {
    connection_limits two;
    two.most = 2;
    return two;
}

// A tcp_server with few places, whose guests show who they are or not, in the order they come.
struct small_house {
    explicit small_house(std::vector<bool> proves, connection_limits places = two_places(),
                         const std::string& address = "127.0.0.1")
        : entrance(std::make_shared<tcp_server>(io.get_executor(), [this,
                                                                    proves](tcp::socket socket) {
              return std::make_shared<lasting_connection>(std::move(socket), proves.at(count++));
          })) {
        entrance->limit(places);
        entrance->listen(address, 0);
        entrance->open();
    }

    // Connects and returns what is said.
    std::string visit(const std::string& to = "127.0.0.1", const std::string& from = "127.0.0.1") {
        tcp::socket& client = clients.emplace_back(io);
        client.open(tcp::v4());
        client.bind(tcp::endpoint(asio::ip::make_address(from), 0));
        client.connect(tcp::endpoint(asio::ip::make_address(to), entrance->port()));
        return hear(clients.size() - 1);
    }
    // The next line for a guest; empty when it has been cut.
    std::string hear(std::size_t guest) {
        std::string line;
        auto heard = asio::async_read_until(clients[guest], asio::dynamic_buffer(line), '\n',
                                            asio::use_future);
        while (heard.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
            CHECK(io.run_one_for(std::chrono::seconds(10)) == 1);
        }
        try {
            heard.get();
        } catch (const boost::system::system_error&) {
            return "";
        }
        return line;
    }
    void close() {
        asio::co_spawn(io, entrance->close(std::chrono::milliseconds(0)),
                       [](std::exception_ptr) {});
        io.run();
    }

    asio::io_context io{1};
    std::deque<tcp::socket> clients;
    std::size_t count = 0;
    std::shared_ptr<tcp_server> entrance;
};

TEST_CASE("a newcomer takes the place of the oldest guest who has not shown who it is") {
    small_house house({true, false, false, true});
    CHECK(house.visit() == "welcome\n");
    CHECK(house.visit() == "welcome\n");
    CHECK(house.visit() == "welcome\n");
    CHECK(house.hear(1) == "");
    CHECK(house.visit() == "welcome\n");
    CHECK(house.hear(2) == "");
    house.close();
}

TEST_CASE("a newcomer is told that there is no place, and gets one when a guest has left") {
    small_house house({true, true, true, true});
    CHECK(house.visit() == "welcome\n");
    CHECK(house.visit() == "welcome\n");
    CHECK(house.visit() == "the server has 2 connections already\n");
    house.clients[0].close();
    while (house.io.run_one_for(std::chrono::milliseconds(100)) > 0) {
    }
    CHECK(house.visit() == "welcome\n");
    house.close();
}

TEST_CASE("an address has its own places, and this machine's loopback addresses have all") {
    if (!test::has_namespaces(1)) return;
    const test::cable link;
    link.at_server([] {
        const std::string here = test::cable::server_address;
        connection_limits few;
        few.most = 4;
        few.most_per_address = 1;
        small_house house({true, false, true, true, true}, few, here);
        CHECK(house.visit(here, here) == "welcome\n");
        CHECK(house.visit(here, here) ==
              "the server has 1 connections from this address already\n");
        CHECK(house.visit(here, "127.0.0.2") == "welcome\n");
        CHECK(house.visit(here, "127.0.0.2") == "welcome\n");
        CHECK(house.visit(here, "127.0.0.1") == "welcome\n");
        house.close();
    });
}

}  // namespace
