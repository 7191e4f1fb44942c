// Coroutines on strands and alone, and handlers; all their failures are reported.
#include "base/spawn.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::guarded;
using bitdotio::spawn_alone;

// Runs on a strand, for so many turns of the executor.
asio::awaitable<int> turn_around(int turns) {
    const auto strand = co_await asio::this_coro::executor;
    for (int i = 0; i < turns; ++i) {
        co_await asio::post(strand, asio::use_awaitable);
    }
    co_return turns;
}

asio::awaitable<int> hop(asio::strand<asio::io_context::executor_type> strand, int turns) {
    return bitdotio::on_strand(strand, nullptr, turn_around(turns));
}

TEST_CASE("a cancellation that reaches the strand when its operation has ended harms nobody") {
    bool came_late = false;
    for (int turns = 0; turns < 3; ++turns) {
        for (int handlers = 0; handlers < 20; ++handlers) {
            asio::io_context io;
            asio::cancellation_signal signal;
            std::optional<int> result;
            const auto on_end = [&](std::exception_ptr, int value) { result = value; };
            auto work = hop(asio::make_strand(io), turns);
            asio::co_spawn(io, std::move(work),
                           asio::bind_cancellation_slot(signal.slot(), on_end));
            for (int i = 0; i < handlers; ++i) {
                io.poll_one();
            }
            came_late = came_late || result.has_value();
            signal.emit(asio::cancellation_type::terminal);
            io.run();
            CHECK(result.has_value());
        }
    }
    CHECK(came_late);
}

std::string words_of(const std::exception_ptr& thrown) {
    try {
        if (thrown) std::rethrow_exception(thrown);
        return "nothing";
    } catch (const std::exception& failure) {
        return failure.what();
    } catch (...) {
        return "no exception";
    }
}

template <class Thrown>
asio::awaitable<void> fail(Thrown what, int turns) {
    co_await turn_around(turns);
    throw what;
}

asio::awaitable<void> go_well() {
    co_return;
}

TEST_CASE("the end of a coroutine that nobody awaits is told what it threw, on its executor") {
    for (int turns = 0; turns < 2; ++turns) {
        asio::io_context io;
        const auto strand = asio::make_strand(io);
        const auto other = asio::make_strand(io);
        std::string told;
        const auto ended = [&](std::exception_ptr thrown) noexcept {
            CHECK((strand.running_in_this_thread() || other.running_in_this_thread()));
            told += words_of(thrown) + (other.running_in_this_thread() ? " there; " : " here; ");
        };
        spawn_alone(strand, fail(std::runtime_error("its own words"), turns), ended);
        CHECK_NOTHROW(io.run());
        io.restart();
        spawn_alone(strand, fail(42, turns), ended);
        CHECK_NOTHROW(io.run());
        io.restart();
        spawn_alone(strand, go_well(), asio::bind_executor(other, ended));
        CHECK_NOTHROW(io.run());
        CHECK(told == "its own words here; no exception here; nothing there; ");
    }
}

asio::awaitable<void> wait_forever() {
    asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
    co_await timer.async_wait(asio::use_awaitable);
}

TEST_CASE("the signal of a coroutine that nobody awaits cancels it, and lives until its end") {
    asio::io_context io;
    auto signal = std::make_shared<asio::cancellation_signal>();
    const std::weak_ptr<asio::cancellation_signal> watched = signal;
    std::string told;
    auto ended = [&](std::exception_ptr thrown) noexcept {
        told = thrown ? "cancelled" : "not cancelled";
        CHECK_FALSE(watched.expired());
    };
    spawn_alone(io.get_executor(), wait_forever(), ended, signal);
    io.poll();
    signal->emit(asio::cancellation_type::terminal);
    signal.reset();
    io.run();
    CHECK(told == "cancelled");
    CHECK(watched.expired());
}

TEST_CASE("a guarded handler passes on what it is given, and throws nothing") {
    std::string told;
    const auto failed = [&](std::exception_ptr thrown) noexcept {
        told += words_of(thrown) + "; ";
    };
    const auto work = [&](int number) {
        if (number == 1) throw std::runtime_error("one");
        if (number == 2) throw 2;
        told += std::to_string(number) + "; ";
    };
    auto handler = guarded(work, failed);
    static_assert(noexcept(handler(0)));
    for (int number = 0; number < 3; ++number)
        handler(number);
    CHECK(told == "0; one; no exception; ");

    asio::io_context io;
    bitdotio::post_work(io.get_executor(), guarded([&] { work(1); }, failed));
    bitdotio::dispatch_work(io.get_executor(), guarded([&] { work(2); }, failed));
    CHECK_NOTHROW(io.run());
    CHECK(told == "0; one; no exception; one; no exception; ");
}

}  // namespace
