// One statement on its way over a connection that many share, and the caller who waits for it.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/params.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/statement.hpp>

#include "base/deadline.hpp"
#include "base/inbox.hpp"
#include "base/spawn.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/prefer.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <source_location>
#include <utility>

namespace bitdotio {

/// A statement and what becomes of it. Exactly one of those who hold it ends it: the connection
/// that has its answer, the clock, its caller's cancellation, or whoever finds that it will never
/// be sent. The caller is told on its own executor, and the others let go.
///
/// Thread safety: the functions that end it, and `begin_sending`, may be called from any thread.
class multiplexed_statement : public std::enable_shared_from_this<multiplexed_statement>,
                              public inbox<multiplexed_statement>::item {
public:
    multiplexed_statement(statement sql, params values, std::source_location where)
        : sql_(std::move(sql)), values_(std::move(values)), where_(where) {}
    multiplexed_statement(const multiplexed_statement&) = delete;
    multiplexed_statement& operator=(const multiplexed_statement&) = delete;
    ~multiplexed_statement() { abandon(); }

    // ---- what is asked

    const statement& sql() const noexcept { return sql_; }
    const params& values() const noexcept { return values_; }
    std::source_location where() const noexcept { return where_; }

    /// When its caller wants to be told at the latest, and how long it may take once it is on a
    /// connection; zero for as long as it takes. Set before it is handed over.
    time_point until = no_deadline;
    std::chrono::milliseconds alone{0};
    /// When it was handed over, and since when it waits for a place, see multiplexer_state.
    time_point came{};
    time_point waits_since{};
    /// Whether it goes on with what was begun before its pool was closed.
    bool goes_on = false;

    // ---- its caller

    /// Keeps who is to be told. `left` is called, from any thread, when the caller is cancelled
    /// and has left before it was sent; it must be noexcept.
    template <class Handler, class Left>
    void wait(Handler handler, Left left) {
        static_assert(sizeof(Handler) <= sizeof room_ && alignof(Handler) <= alignof(void*));
        executor_ = asio::prefer(asio::get_associated_executor(handler),
                                 asio::execution::outstanding_work.tracked);
        auto slot = asio::get_associated_cancellation_slot(handler);
        if (slot.is_connected()) {
            slot.assign([weak = weak_from_this(), left](asio::cancellation_type) noexcept {
                const auto self = weak.lock();
                if (self && self->leave(errc::cancelled) == outcome::not_sent) {
                    left();
                }
            });
        }
        ::new (static_cast<void*>(room_)) Handler(std::move(handler));
        drop_ = &multiplexed_statement::let_go<Handler>;
    }

    /// What its caller finds: an answer, a failure, or that it must go another way.
    result take_answer() noexcept { return std::move(answer_); }
    const std::optional<error>& failure() const noexcept { return failure_; }
    bool steps_aside() const noexcept { return steps_aside_; }

    // ---- what becomes of it

    bool is_over() const noexcept { return now_.load() == stage::over; }
    /// From now on it may reach the server. False if its caller has left: nothing is sent then.
    bool begin_sending() noexcept {
        stage expected = stage::waiting;
        return now_.compare_exchange_strong(expected, stage::sent);
    }
    void answer(result what) noexcept {
        if (ends()) {
            answer_ = std::move(what);
            tell();
        }
    }
    void fail(const error& why) {
        if (ends()) {
            failure_ = why;
            tell();
        }
    }
    /// Its caller runs it in another way, nothing of it was sent.
    void step_aside() noexcept {
        if (ends()) {
            steps_aside_ = true;
            tell();
        }
    }
    /// Its caller is not resumed any more, and ends where it waits: its executor is at its end. The
    /// caller may be what keeps this alive.
    void abandon() noexcept {
        if (ends() && drop_) std::exchange(drop_, nullptr)(*this, false);
    }
    /// Its caller leaves: its time is up, or it is cancelled. If it was sent it goes on at the
    /// server, and its answer is dropped.
    ///
    /// Returns what is known of it then; executed if it was over before.
    outcome leave(errc why);

private:
    enum class stage { waiting, sent, over };

    bool ends() noexcept { return now_.exchange(stage::over) != stage::over; }
    void tell() noexcept {
        if (drop_) std::exchange(drop_, nullptr)(*this, true);
    }

    // Takes the handler out, and calls it on its executor, or destroys it.
    template <class Handler>
    static void let_go(multiplexed_statement& self, bool tells) noexcept {
        Handler* const kept = std::launder(reinterpret_cast<Handler*>(self.room_));
        Handler mine(std::move(*kept));
        kept->~Handler();
        const asio::any_io_executor executor = std::move(self.executor_);
        if (tells) {
            post_work(executor, [mine = std::move(mine)]() mutable noexcept { mine(); });
        }
    }

    const statement sql_;
    const params values_;
    const std::source_location where_;
    std::atomic<stage> now_{stage::waiting};

    result answer_;
    std::optional<error> failure_;
    bool steps_aside_ = false;

    asio::any_io_executor executor_;
    void (*drop_)(multiplexed_statement&, bool) noexcept = nullptr;
    alignas(void*) std::byte room_[8 * sizeof(void*)];
};

}  // namespace bitdotio
