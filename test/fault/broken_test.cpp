// Connections that break visibly: reset or ended, idle or at a chosen message.
#include "fault/proxied_pool.hpp"
#include "fault/scene.hpp"
#include "support/run.hpp"
#include "support/wire_client.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <doctest/doctest.h>

#include <vector>

namespace {

namespace asio = boost::asio;
using test::after;
using test::all_places;
using test::any_message;
using test::before;
using test::fault;
using test::fault_proxy;
using test::meaning;
using test::rows;
using test::side;

// A fault that happens at a message.
fault at(int number, std::string name, rows left, test::fault_rule rule) {
    fault made;
    made.number = number;
    made.name = std::move(name);
    made.left = left;
    made.arm = [rule](fault_proxy& proxy) { proxy.set(rule); };
    return made;
}

// A fault that happens at once, while nothing is under way.
fault idle(int number, std::string name, void (fault_proxy::*inject)()) {
    fault made;
    made.number = number;
    made.name = std::move(name);
    made.means = meaning::known;
    made.arm = [inject](fault_proxy& proxy) { (proxy.*inject)(); };
    return made;
}

TEST_CASE("a connection that ended while nothing was under way is replaced, or known to be dead") {
    test::run_everywhere({idle(16, "RST while idle", &fault_proxy::reset),
                          idle(19, "FIN while idle", &fault_proxy::cut)},
                         all_places());
}

// The server's process has said goodbye and not ended yet: no end of the connection tells of it.
asio::awaitable<void> write_after_goodbye(bitdotio::pool_options limits) {
    test::scene here(co_await asio::this_coro::executor, limits);
    co_await here.begin();
    co_await here.pool.query("SELECT 1");
    const std::string zero(1, '\0');
    here.proxy->say(test::message('E', "SFATAL" + zero + "VFATAL" + zero + "C57P01" + zero +
                                           "Mterminating connection" + zero + zero));
    here.proxy->hold_both();
    const auto failure = co_await test::write_one(here.pool, here.book);
    CHECK_MESSAGE(!failure, failure->what());
    co_await here.end();
}

TEST_CASE("a goodbye is heard before the next statement is sent") {
    test::run(write_after_goodbye(test::at_most(2)));
    bitdotio::pool_options shared = test::at_most(2);
    shared.multiplex = bitdotio::multiplexing(1, 16);
    test::run(write_after_goodbye(shared));
}

TEST_CASE("a request that is lost leaves the outcome unknown, and nothing behind") {
    test::run_everywhere(
        {at(17, "RST, request lost", rows::none, before(side::frontend, any_message).reset()),
         at(19, "FIN, request lost", rows::none, before(side::frontend, any_message).cut())},
        all_places());
}

TEST_CASE("a reply that is lost leaves the outcome unknown, and nothing twice") {
    test::run_everywhere(
        {at(18, "RST, reply lost", rows::all, before(side::backend, any_message).reset()),
         at(19, "FIN, reply lost", rows::all, before(side::backend, any_message).cut()),
         at(19, "FIN from the server only", rows::all,
            before(side::backend, any_message).half_close())},
        all_places());
}

TEST_CASE("what is complete is not acknowledged before the server is ready for more") {
    test::run_everywhere({at(21, "cut between CommandComplete and ReadyForQuery", rows::all,
                             before(side::backend, 'Z').cut()),
                          at(21, "RST between CommandComplete and ReadyForQuery", rows::all,
                             before(side::backend, 'Z').reset())},
                         all_places());
}

// Packets are dropped for a while, as by a router that has forgotten a connection; then a reset.
asio::awaitable<void> forget_flow(std::shared_ptr<fault_proxy> proxy) {
    co_await proxy->until_fired();
    proxy->reset();
}

TEST_CASE("a flow that the network forgot ends as one that was reset") {
    fault forgotten;
    forgotten.number = 24;
    forgotten.name = "forgotten flow";
    forgotten.left = rows::none;
    forgotten.arm = [](fault_proxy& proxy) {
        proxy.set(before(side::frontend, any_message).hold_both());
        asio::co_spawn(proxy.executor(), forget_flow(proxy.shared_from_this()), asio::detached);
    };
    test::run_everywhere({forgotten}, all_places());
}

}  // namespace
