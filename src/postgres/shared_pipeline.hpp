// The pipeline of one connection, shared by many callers: a sync for each statement.
#pragma once

#include <bitdotio/error.hpp>

#include "base/deadline.hpp"
#include "base/fifo.hpp"
#include "base/inbox.hpp"
#include "postgres/failure.hpp"
#include "postgres/libpq.hpp"
#include "postgres/multiplexed_statement.hpp"
#include "postgres/part_answers.hpp"
#include "postgres/statement_cache.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bitdotio {

class postgres_exchange;

/// Sends what is handed over, and gives each answer to its asker, until `end` is called and all is
/// answered, or the connection breaks.
///
/// Thread safety: the public functions may be called from any thread, except `serve`, which is an
///     operation of the session, and `take_unsent`.
class shared_pipeline : public std::enable_shared_from_this<shared_pipeline> {
public:
    /// Parameters: `room` is called on the session's strand when answers have come and
    ///     `want_room` was called before; it must not throw.
    explicit shared_pipeline(std::function<void()> room) : room_(std::move(room)) {}

    /// A statement for this connection, from one thread at a time.
    void hand_over(std::shared_ptr<multiplexed_statement> one);
    /// How many of those are over, answered or not.
    std::uint64_t finished() const noexcept { return finished_.load(); }
    void want_room() noexcept { wants_room_.store(true); }
    /// Whether it may be given more: not if its session must not be used any longer.
    bool takes_more() const noexcept { return takes_more_.load(); }
    /// Since when the oldest of those sent waits; nothing if there is none.
    std::optional<time_point> head_since() const noexcept;

    /// No more will be handed over: `serve` returns when all is answered.
    void end();
    /// Breaks the connection if nobody waits for any of its answers.
    void cut_if_deserted();

    /// The operation. Throws what keeps the session from being used at all; a connection that
    /// breaks on the way is told to those concerned, and `serve` returns.
    asio::awaitable<void> serve(postgres_exchange& on);
    /// What was handed over and not sent, once `serve` has ended.
    std::vector<std::shared_ptr<multiplexed_statement>> take_unsent();
    /// The executor is at its end: nobody is told anything any more. See
    /// multiplexed_statement::abandon.
    void abandon() noexcept;
    /// Whether something between here and the server has shown that it does not keep up with
    /// statements that are pipelined. After `serve` has ended.
    bool was_confused() const noexcept { return loses_answers_.load(); }

private:
    // One of those sent, or a question of our own about types.
    struct sent {
        std::shared_ptr<multiplexed_statement> who;  // null of a question
        statement_cache::plan plan{};
        part_answers parts{};
        std::optional<error> failure{};
        bool refused_for_its_plan = false;
        bool is_second_time = false;

        void planned(statement_cache::plan how) {
            plan = std::move(how);
            parts = part_answers(plan.parts);
        }
    };
    // An answer that waits until its types are known.
    struct parked {
        std::shared_ptr<multiplexed_statement> who;
        result answer;
    };

    void wake();
    void pump();
    void fill();
    bool send(std::shared_ptr<multiplexed_statement> who, bool is_second_time);
    void stop_waiting();

    // shared_answers.cpp: whose they are, what their types are, and what a loss leaves.
    void take_answers();
    void take(libpq::result answer);
    void refuse(sent& head, server_message said);
    void finish_head();
    void deliver(std::shared_ptr<multiplexed_statement> who, result answer);
    void finished_one();
    void note_head();
    bool send_question();
    void learn_types(const sent& question);
    void lose();

    const std::function<void()> room_;
    inbox<multiplexed_statement> box_;
    std::atomic<bool> running_{false};
    std::atomic<bool> ends_{false};
    std::atomic<bool> takes_more_{true};
    std::atomic<bool> wants_room_{false};
    std::atomic<bool> loses_answers_{false};
    std::atomic<std::uint64_t> finished_{0};
    std::atomic<time_point::rep> head_since_{0};

    // Of the session's strand.
    asio::any_io_executor strand_;
    postgres_exchange* on_ = nullptr;
    std::deque<std::shared_ptr<multiplexed_statement>> unsent_;
    std::deque<std::shared_ptr<multiplexed_statement>> again_;
    fifo<sent> in_flight_;
    std::vector<parked> parked_;
    std::vector<oid> asked_types_;
    std::exception_ptr failed_;
    bool asks_types_ = false;
    bool blocked_ = false;
    bool waits_ = false;
};

}  // namespace bitdotio
