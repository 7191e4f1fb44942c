// Sends the statements of many callers as they come.
#include "postgres/shared_pipeline.hpp"

#include "postgres/postgres_exchange.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

namespace bitdotio {

namespace {

// libpq hands each sync to the kernel by itself (before version 17): these become one packet.
class packet_cork {
public:
    packet_cork(PGconn* conn, bool wanted) noexcept : descriptor_(wanted ? PQsocket(conn) : -1) {
        set(1);
    }
    ~packet_cork() { set(0); }
    packet_cork(const packet_cork&) = delete;
    packet_cork& operator=(const packet_cork&) = delete;

private:
    // A Unix socket refuses it.
    void set(int value) noexcept {
        if (descriptor_ >= 0 &&
            setsockopt(descriptor_, IPPROTO_TCP, TCP_CORK, &value, sizeof value) != 0) {
            descriptor_ = -1;
        }
    }

    int descriptor_;
};

}  // namespace

// ---- from any thread

void shared_pipeline::hand_over(std::shared_ptr<multiplexed_statement> one) {
    if (box_.put(std::move(one))) {
        wake();
    }
}

std::optional<time_point> shared_pipeline::head_since() const noexcept {
    const time_point::rep ticks = head_since_.load();
    return ticks == 0 ? std::nullopt : std::optional(time_point(time_point::duration(ticks)));
}

void shared_pipeline::end() {
    ends_.store(true);
    wake();
}

// Before it runs, `serve` looks by itself.
void shared_pipeline::wake() {
    if (!running_.load()) {
        return;
    }
    post_work(strand_, [self = shared_from_this()]() noexcept {
        if (self->on_) self->pump();
    });
}

void shared_pipeline::cut_if_deserted() {
    if (!running_.load()) {
        return;
    }
    post_work(strand_, [self = shared_from_this()]() noexcept {
        const auto is_awaited = [](const sent& one) { return one.who && !one.who->is_over(); };
        const auto& all = self->in_flight_;
        if (self->on_ && self->unsent_.empty() && self->parked_.empty() && !all.empty() &&
            std::none_of(all.begin(), all.end(), is_awaited)) {
            self->takes_more_.store(false);
            self->on_->wire_.shut_down();
        }
    });
}

// ---- the operation

asio::awaitable<void> shared_pipeline::serve(postgres_exchange& on) {
    // What cancels it is its end, or that of the connection.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const auto self = shared_from_this();
    const postgres_exchange::turn mine(on);
    if (on.owes_something()) {
        co_await on.settle_debts();
    }
    if (on.reset_.is_due()) {
        co_await on.reset_now();
    }
    on.get_ready();
    on.may_be_changed_ = true;  // their statements are not looked at one by one
    on.report_.begin();
    on.report_.note_several(false, false);
    on.wire_.enter_pipeline();
    on.status_ = session_status::busy;
    on_ = &on;
    strand_ = co_await asio::this_coro::executor;
    running_.store(true);
    while (true) {
        pump();
        if (failed_ || on.wire_.is_broken() || !on.wire_.is_open()) {
            break;
        }
        if (ends_.load() && in_flight_.empty() && unsent_.empty() && again_.empty()) {
            break;
        }
        try {
            waits_ = true;
            if (blocked_) {
                co_await on.wire_.readable_or_writable();
            } else {
                co_await on.wire_.readable();
            }
        } catch (const error&) {  // woken: there is something to do or to see
        }
        waits_ = false;
        if (on.wire_.is_open()) {
            on.wire_.take_in();
        }
    }
    takes_more_.store(false);
    on_ = nullptr;
    const bool well = !failed_ && on.wire_.is_open() && !on.wire_.is_broken() &&
                      on.wire_.speaks_utf8() && on.wire_.leave_pipeline();
    if (well) {
        on.take_status();
        co_return;
    }
    on_ = &on;
    lose();
    on_ = nullptr;
    on.abort();
}

std::vector<std::shared_ptr<multiplexed_statement>> shared_pipeline::take_unsent() {
    std::vector<std::shared_ptr<multiplexed_statement>> all(
        std::make_move_iterator(unsent_.begin()), std::make_move_iterator(unsent_.end()));
    unsent_.clear();
    box_.take([&](std::shared_ptr<multiplexed_statement> one) { all.push_back(std::move(one)); });
    return all;
}

void shared_pipeline::abandon() noexcept {
    for (const auto& one : take_unsent()) {
        one->abandon();
    }
    for (const auto& one : std::exchange(again_, {})) {
        one->abandon();
    }
    for (const parked& one : std::exchange(parked_, {})) {
        one.who->abandon();
    }
    while (!in_flight_.empty()) {
        const sent one = in_flight_.take_front();
        if (one.who) {
            one.who->abandon();
        }
    }
}

// Sends and takes what can be sent and taken now. Where `serve` waits for something else than what
// is needed now, it is woken.
void shared_pipeline::pump() {
    try {
        const bool was_blocked = blocked_;
        const std::uint64_t before = finished_.load();
        box_.take([this](std::shared_ptr<multiplexed_statement> one) {
            unsent_.push_back(std::move(one));
        });
        do {
            take_answers();
            fill();
        } while (!again_.empty() && !blocked_ && !on_->wire_.is_broken());
        if (finished_.load() != before && wants_room_.exchange(false)) {
            room_();
        }
        const bool done = ends_.load() && in_flight_.empty() && unsent_.empty();
        if (waits_ && (done || blocked_ != was_blocked || on_->wire_.is_broken())) {
            stop_waiting();
        }
    } catch (...) {
        failed_ = std::current_exception();
        takes_more_.store(false);
        stop_waiting();
    }
}

void shared_pipeline::stop_waiting() {
    if (on_->wire_.is_open()) {
        on_->wire_.stop_waiting();
    }
}

void shared_pipeline::fill() {
    PGconn* const conn = on_->wire_.conn();
    blocked_ = PQflush(conn) == 1;
    if (blocked_ || (unsent_.empty() && again_.empty())) {
        return;
    }
    if (on_->wire_.is_broken()) {
        return;  // what is not sent may go over another connection
    }
    const bool was_empty = in_flight_.empty();
    // Nothing is under way that would tell of the connection's end.
    if (was_empty && !on_->is_still_alive()) {
        takes_more_.store(false);
        on_->wire_.shut_down();
        return;
    }
    const packet_cork cork(conn, unsent_.size() + again_.size() > 1);
    bool sending = true;
    while (sending && !blocked_ && !again_.empty()) {
        auto who = std::move(again_.front());
        again_.pop_front();
        sending = send(std::move(who), true);
        blocked_ = PQflush(conn) == 1;
    }
    while (sending && !blocked_ && !unsent_.empty()) {
        auto who = std::move(unsent_.front());
        unsent_.pop_front();
        if (!who->begin_sending()) {
            finished_one();
            continue;
        }
        sending = send(std::move(who), false);
        blocked_ = PQflush(conn) == 1;
    }
    if (was_empty && !in_flight_.empty()) {
        note_head();
    }
}

// False if nothing more can be sent. What is refused on this side has its sync all the same: a part
// of it, the preparation, may be on its way.
bool shared_pipeline::send(std::shared_ptr<multiplexed_statement> who, bool is_second_time) {
    postgres_wire& wire = on_->wire_;
    sent one;
    one.is_second_time = is_second_time;
    try {
        postgres_wire::check(who->sql());
        wire.bind(who->values());
        // What others prepare meanwhile may fail again.
        const bool sent_part = is_second_time ? wire.send_part(statement(who->sql()).unprepared())
                                              : wire.send_part(who->sql());
        if (!sent_part) {
            one.failure =
                error(errc::bad_input, "cannot send: " + wire.last_words()).with(outcome::not_sent);
        }
        one.planned(wire.take_plan());
    } catch (const error& refused) {  // before anything was sent
        wire.take_plan();
        finished_one();
        who->fail(refused);
        return true;
    }
    if (wire.is_broken()) {
        one.failure.reset();
    } else if (one.failure && one.plan.what == statement_cache::action::prepare) {
        wire.statements().forget(one.plan.name);
    }
    one.who = std::move(who);
    in_flight_.push_back(std::move(one));
    const bool synced = wire.send_sync();
    if (!synced) {
        wire.shut_down();  // half a statement cannot be taken back
    }
    return synced;
}

}  // namespace bitdotio
