// Gives the answers that come over a shared connection to those who asked.
#include "postgres/shared_pipeline.hpp"

#include "postgres/postgres_exchange.hpp"
#include "postgres/type_book.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio {

namespace {

bool is_goodbye(const server_message& said) {
    return said.severity == "FATAL" || said.severity == "PANIC";
}

}  // namespace

void shared_pipeline::take_answers() {
    postgres_wire& wire = on_->wire_;
    const std::size_t were = in_flight_.size();
    libpq::result answer;
    bool is_end = false;
    while (!in_flight_.empty() && wire.next_answer(answer)) {
        if (answer) {
            is_end = false;
            take(std::move(answer));
        } else if (std::exchange(is_end, true)) {
            break;  // nothing comes any more from one that broke; what came before counts
        } else {
            in_flight_.front().parts.end_part();
        }
    }
    if (in_flight_.size() != were) {
        note_head();
        if (in_flight_.empty() && !wire.is_broken()) {
            wire.note_heard();
        }
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
            if (is_goodbye(said)) {
                on_->report_.hear_goodbye(std::move(said));
            } else if (!said.sqlstate.empty() || !on_->wire_.is_broken()) {
                refuse(head, std::move(said));
            }
            return;
        }
        default:
            if (!head.parts.add(std::move(answer))) {
                loses_answers_.store(true);
                takes_more_.store(false);
                on_->wire_.shut_down();
            }
            return;
    }
}

void shared_pipeline::refuse(sent& head, server_message said) {
    if (head.failure) {
        return;
    }
    head.refused_for_its_plan =
        on_->wire_.statements().refused(head.plan, judge_plan(said), head.parts.is_at_last());
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
    if (!head.parts.is_answered()) {  // something between here and the server has lost it
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
    result answer(head.parts.take_answer().release());
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

// The oldest of those in flight is another one.
void shared_pipeline::note_head() {
    head_since_.store(
        in_flight_.empty() ? 0 : std::chrono::steady_clock::now().time_since_epoch().count());
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
    one.planned(on_->wire_.take_plan());
    in_flight_.push_back(std::move(one));
    asks_types_ = true;
    return true;
}

void shared_pipeline::learn_types(const sent& question) {
    asks_types_ = false;
    if (!question.failure && question.parts.is_answered()) {
        const result answer(
            PQcopyResult(question.parts.answer(), PG_COPYRES_ATTRS | PG_COPYRES_TUPLES));
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
