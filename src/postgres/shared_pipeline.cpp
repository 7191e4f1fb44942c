// Statements of many callers go out as they come, and answers come back in their order.
#include "postgres/shared_pipeline.hpp"

#include "postgres/postgres_exchange.hpp"
#include "postgres/type_book.hpp"

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

time_point::rep ticks_now() {
    return std::chrono::steady_clock::now().time_since_epoch().count();
}

bool is_final(const server_message& said) {
    return said.severity == "FATAL" || said.severity == "PANIC";
}

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
        head_since_.store(ticks_now());
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
        one.plan = wire.take_plan();
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

// ---- answers

void shared_pipeline::take_answers() {
    postgres_wire& wire = on_->wire_;
    const std::size_t were = in_flight_.size();
    libpq::result answer;
    while (!in_flight_.empty() && wire.next_answer(answer)) {
        if (answer) {
            take(std::move(answer));
        } else if (wire.is_broken()) {
            break;
        } else {
            ++in_flight_.front().parts_answered;
        }
    }
    if (in_flight_.size() != were) {
        head_since_.store(in_flight_.empty() ? 0 : ticks_now());
    }
    if (!asks_types_ && !parked_.empty() && !send_question()) {
        wire.shut_down();
    }
    if (!wire.speaks_utf8()) {  // a function of somebody's has changed it
        wire.shut_down();
    }
}

void shared_pipeline::take(libpq::result answer) {
    sent& head = in_flight_.front();
    switch (PQresultStatus(answer.get())) {
        case PGRES_PIPELINE_SYNC:
            on_->wire_.sync_answered();
            finish_head();
            return;
        case PGRES_PIPELINE_ABORTED: return;
        case PGRES_COPY_IN:
        case PGRES_COPY_OUT:
        case PGRES_COPY_BOTH: on_->wire_.shut_down(); return;
        case PGRES_FATAL_ERROR:
        case PGRES_BAD_RESPONSE: {
            server_message said = libpq::message_of(answer.get());
            if (is_final(said)) {
                on_->report_.hear_goodbye(std::move(said));
            } else if (!said.sqlstate.empty() || !on_->wire_.is_broken()) {
                refuse(head, std::move(said));
            }
            return;
        }
        default: head.answer = std::move(answer); return;
    }
}

void shared_pipeline::refuse(sent& head, server_message said) {
    if (head.failure) {
        return;
    }
    const bool was_prepared = head.parts_answered + 1 >= head.plan.parts;
    head.refused_for_its_plan =
        on_->wire_.statements().refused(head.plan, judge_plan(said), was_prepared);
    head.failure = refused_statement(stage::sent, std::move(said));
    if (is_read_only_server(*head.failure)) {
        takes_more_.store(false);  // the next try goes elsewhere
        on_->close();              // once its other statements are answered
    }
}

void shared_pipeline::finish_head() {
    sent head = in_flight_.take_front();
    if (auto warning = on_->report_.take_unconfirmed()) {
        head.failure = head.failure.value_or(unconfirmed_commit(stage::sent, std::move(*warning)));
    }
    if (!head.who) {
        learn_types(head);
        return;
    }
    if (head.failure && head.refused_for_its_plan && !head.is_second_time && !head.who->is_over()) {
        again_.push_back(std::move(head.who));
        return;
    }
    if (head.failure) {
        finished_one();
        head.who->fail(*head.failure);
        return;
    }
    if (!head.answer) {  // something between here and the server has lost it
        finished_one();
        head.who->fail(error(errc::protocol_violated,
                             "the server ended the statement without an "
                             "answer; whether it was executed is unknown")
                           .with(phase::awaiting_reply)
                           .with(outcome::unknown));
        loses_answers_.store(true);
        takes_more_.store(false);
        on_->wire_.shut_down();  // nor is anything known of the next
        return;
    }
    result answer(head.answer.release());
    if (!type_book::concerns(answer) || head.who->is_over()) {
        deliver(std::move(head.who), std::move(answer));
        return;
    }
    std::vector<result*> told{&answer};
    if (on_->types_.missing_in(told).empty()) {
        on_->types_.tell(told);
        deliver(std::move(head.who), std::move(answer));
        return;
    }
    parked_.push_back({std::move(head.who), std::move(answer)});
}

void shared_pipeline::deliver(std::shared_ptr<multiplexed_statement> who, result answer) {
    finished_one();
    who->answer(std::move(answer));
}

void shared_pipeline::finished_one() {
    finished_.fetch_add(1);
}

// ---- types

// Asks for what the answers that are parked have and nobody knows. It was the statements' success
// that brought them here: whatever happens to the question is not their failure.
bool shared_pipeline::send_question() {
    std::vector<result*> told;
    for (parked& one : parked_) {
        told.push_back(&one.answer);
    }
    asked_types_ = on_->types_.missing_in(told);
    const statement question = type_book::question(PQserverVersion(on_->wire_.conn()));
    const params which = type_book::question_values(asked_types_);
    on_->wire_.bind(which);
    if (!on_->wire_.send_part(question) || !on_->wire_.send_sync()) {
        return false;
    }
    sent one;
    one.plan = on_->wire_.take_plan();
    in_flight_.push_back(std::move(one));
    asks_types_ = true;
    return true;
}

void shared_pipeline::learn_types(const sent& question) {
    asks_types_ = false;
    if (!question.failure && question.answer) {
        const result answer(
            PQcopyResult(question.answer.get(), PG_COPYRES_ATTRS | PG_COPYRES_TUPLES));
        on_->types_.learn(asked_types_, answer);
    }
    // Those that came meanwhile may have others: what is missing still is asked for once more.
    std::vector<parked> later;
    for (parked& one : std::exchange(parked_, {})) {
        std::vector<result*> told{&one.answer};
        std::vector<oid> missing = on_->types_.missing_in(told);
        std::erase_if(missing, [this](oid type) {
            return std::find(asked_types_.begin(), asked_types_.end(), type) != asked_types_.end();
        });
        if (!missing.empty()) {
            later.push_back(std::move(one));
            continue;
        }
        on_->types_.tell(told);
        deliver(std::move(one.who), std::move(one.answer));
    }
    parked_ = std::move(later);
}

// ---- the end of the connection

// Each its own outcome: what was answered is answered, what was handed to libpq may have run, and
// what was not is not sent.
void shared_pipeline::lose() {
    std::string words = on_->words_of_loss();
    if (on_->cut_because_.empty() && on_->wire_.is_open() && !on_->wire_.speaks_utf8()) {
        words =
            "a statement changed client_encoding, and this library reads and writes UTF-8 alone";
    }
    if (failed_) {
        try {
            std::rethrow_exception(failed_);
        } catch (const std::exception& failure) {
            words = failure.what();
        } catch (...) {
        }
    }
    for (parked& one : std::exchange(parked_, {})) {
        deliver(std::move(one.who), std::move(one.answer));
    }
    failure_facts facts;
    facts.said = on_->report_.goodbye();
    // A pooler that ends it because of what it was sent. A server names the function of its source.
    if (in_flight_.size() > 1 && facts.said.routine.empty() &&
        (facts.said.sqlstate == "08P01" || facts.said.sqlstate == "0A000")) {
        loses_answers_.store(true);
    }
    auto warning = on_->report_.take_unconfirmed();  // about the first of those that follow
    while (!in_flight_.empty()) {
        const sent one = in_flight_.take_front();
        finished_one();
        const auto said = std::exchange(warning, std::nullopt);
        if (!one.who) {
            continue;
        }
        one.who->fail(said ? unconfirmed_commit(stage::sent, *said)
                           : lost_connection(stage::sent, facts, words));
    }
    for (const auto& one : std::exchange(again_, {})) {  // refused, which undid them
        finished_one();
        one->fail(lost_connection(stage::leased, facts, words));
    }
    head_since_.store(0);
}

}  // namespace bitdotio
