// Places are shared among accounts.
#include "server/jobs/fair_turns.hpp"

#include <bitdotio/error.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <map>
#include <memory>
#include <string>

namespace {

namespace asio = boost::asio;
using bitdotio::fair_turns;

// Coroutines that want a turn, and keep it until they are told to leave.
struct crowd {
    asio::io_context io{1};
    fair_turns turns{3, 2};
    std::string came;  ///< the names, in the order they got their turn
    std::map<std::string, fair_turns::pass> inside;
    std::map<std::string, std::shared_ptr<asio::cancellation_signal>> waiting;

    asio::awaitable<void> want(std::string name) {
        auto mine = co_await turns.enter(name.substr(0, 1));
        came += name + " ";
        inside[name] = std::move(mine);
    }

    void arrive(const std::string& name) {
        const auto signal = std::make_shared<asio::cancellation_signal>();
        waiting[name] = signal;
        asio::co_spawn(io, want(name),
                       asio::bind_cancellation_slot(signal->slot(), [](std::exception_ptr) {}));
        run();
    }
    void leave(const std::string& name) {
        inside.erase(name);
        run();
    }
    void run() {
        io.restart();
        io.poll();
    }
};

}  // namespace

TEST_CASE("one account never has all places, and a free one goes to who has the fewest") {
    crowd all;
    for (const char* name : {"a1", "a2", "a3", "a4"})
        all.arrive(name);
    CHECK(all.came == "a1 a2 ");
    all.arrive("b1");
    CHECK(all.came == "a1 a2 b1 ");
    all.arrive("b2");
    all.arrive("c1");
    all.leave("a1");  // c has none, though a and b have waited longer
    CHECK(all.came == "a1 a2 b1 c1 ");
    all.leave("c1");  // a and b have one each: a3 came first
    CHECK(all.came == "a1 a2 b1 c1 a3 ");
    all.leave("b1");
    CHECK(all.came == "a1 a2 b1 c1 a3 b2 ");
    all.leave("b2");  // a has two
    CHECK(all.came == "a1 a2 b1 c1 a3 b2 ");
    all.leave("a2");
    CHECK(all.came == "a1 a2 b1 c1 a3 b2 a4 ");
}

TEST_CASE("a cancelled wait for a turn leaves it to the next") {
    crowd all;
    for (const char* name : {"a1", "b1", "c1", "a2", "b2"})
        all.arrive(name);
    all.waiting["a2"]->emit(asio::cancellation_type::terminal);
    all.run();
    all.leave("c1");
    CHECK(all.came == "a1 b1 c1 b2 ");
}
