// Replies that come in pieces, slowly, with extra bytes, or stop midway.
#include "fault/proxied_pool.hpp"

#include "support/environment.hpp"
#include "support/wire_client.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using test::all_places;
using test::any_message;
using test::before;
using test::fault;
using test::fault_place;
using test::fault_proxy;
using test::meaning;
using test::proxied_pool;
using test::side;

fault harmless(int number, std::string name, std::function<void(fault_proxy&)> arm) {
    fault made;
    made.number = number;
    made.name = std::move(name);
    made.means = meaning::harmless;
    made.arm = std::move(arm);
    return made;
}

asio::awaitable<void> cut_at_every_byte(fault_place where) {
    CAPTURE(to_string(where));
    proxied_pool here(co_await asio::this_coro::executor, test::shared_postgres(), 2s);
    co_await here.begin();
    co_await here.cut_everywhere(where);
    const std::size_t there = co_await here.judge();
    // Requests arrived whole: all were executed, except a transaction whose COMMIT was never sent.
    if (where != fault_place::transaction && where != fault_place::pipeline) {
        CHECK(there == here.book().size());
    }
    fault what;
    what.number = 20;
    what.name = "reply cut at every byte";
    here.report(what, to_string(where));
}

TEST_CASE("a reply that is cut at whichever byte leaves the outcome unknown, and nothing twice") {
    for (const fault_place where : all_places()) {
        test::run_without_trace(test::shared_postgres(), cut_at_every_byte(where));
    }
}

TEST_CASE("bytes that come one by one make the same answers on the same connection") {
    const auto replies = [](fault_proxy& proxy) {
        proxy.set(before(side::backend, any_message).drip(10ms));
    };
    const auto requests = [](fault_proxy& proxy) {
        proxy.set(before(side::frontend, any_message).drip(10ms));
    };
    test::run_everywhere({harmless(25, "replies one byte each 10 ms", replies)}, all_places(), 10s);
    // Requests are longer.
    const std::vector<fault_place> some{fault_place::query, fault_place::commit,
                                        fault_place::copy_end};
    test::run_everywhere({harmless(25, "requests one byte each 10 ms", requests)},
                         test::soaking() ? all_places() : some, 10s);
}

TEST_CASE("messages that come one by one make the same answers on the same connection") {
    const auto slices = [](fault_proxy& proxy) {
        proxy.set(before(side::backend, any_message).slice(5ms));
        proxy.set(before(side::frontend, any_message).slice(5ms));
    };
    test::run_everywhere({harmless(26, "sliced at message boundaries", slices)}, all_places());
}

TEST_CASE("what the server says to an idle connection is no reason to replace it") {
    const auto saying = [](std::string bytes) {
        return [bytes](fault_proxy& proxy) { proxy.say(bytes); };
    };
    const std::string zero(1, '\0');
    const std::string notification =
        test::message('A', test::number(1) + "channel" + zero + "payload" + zero);
    const std::string parameter = test::message('S', "TimeZone" + zero + "Europe/Berlin" + zero);
    const std::string notice = test::message(
        'N', "SNOTICE" + zero + "VNOTICE" + zero + "C00000" + zero + "Mby the way" + zero + zero);
    test::run_everywhere({harmless(38, "NOTIFY on idle", saying(notification)),
                          harmless(38, "ParameterStatus on idle", saying(parameter)),
                          harmless(38, "NOTICE on idle", saying(notice))},
                         all_places());
}

}  // namespace
