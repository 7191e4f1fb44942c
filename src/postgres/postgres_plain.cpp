// The way of most statements: nothing before it, no time limit, nobody who can cancel it.
#include "postgres/postgres_plain.hpp"

#include <optional>
#include <utility>
#include <vector>

namespace bitdotio {

// What `ask` comes to for most statements, in one frame. All else goes beside it.
asio::awaitable<result> postgres_exchange::answer_plainly(const strand& home, const statement& sql,
                                                          const params& values) {
    plain_answer one(*this, sql, values);
    plain_answer::progress now = one.look();
    while (now == plain_answer::progress::waits) {
        const auto [failure] = co_await wire_.wait_readable(home);
        now = one.go_on(failure);
    }
    if (now == plain_answer::progress::stuck) {
        co_return co_await within_strand(home, finish_plainly(one));
    }
    co_return one.take();
}

postgres_exchange::plain_answer::progress postgres_exchange::plain_answer::look() {
    if (!whose_.wire_.is_flushed()) {
        return progress::stuck;
    }
    return whose_.take_all_there_is() ? conclude() : progress::waits;
}

postgres_exchange::plain_answer::progress postgres_exchange::plain_answer::go_on(
    const boost::system::error_code& failure) {
    if (failure) {  // nobody cancels it: the descriptor is of no use
        whose_.abort();
        return conclude();
    }
    whose_.wire_.take_in();
    return whose_.take_all_there_is() ? conclude() : progress::waits;
}

postgres_exchange::plain_answer::progress postgres_exchange::plain_answer::conclude() {
    whose_.conclude(kind::extended, when_, std::nullopt, in_transaction_);
    has_concluded_ = true;
    const std::vector<result>& answers = whose_.report_.answers();
    const bool has_more = whose_.send_again_ || whose_.has_other_encoding() ||
                          (!answers.empty() && type_book::concerns(answers.back()));
    return has_more ? progress::stuck : progress::ended;
}

asio::awaitable<result> postgres_exchange::finish_plainly(plain_answer& one) {
    if (!one.has_concluded_) {
        co_await settle();
        conclude(kind::extended, one.when_, std::nullopt, one.in_transaction_);
    }
    if (has_other_encoding()) {
        co_await restore_encoding();
        throw changed_encoding();
    }
    if (report_.commits()) {
        report_.require_commit(false);
    }
    if (std::exchange(send_again_, false)) {
        co_await ask(one.sql_, one.values_, kind::extended, phase::awaiting_reply);
    }
    result answer = report_.take_last_answer();
    if (type_book::concerns(answer)) {
        std::vector<result*> told{&answer};
        co_await tell_types(std::move(told), statement_timeout_);
    }
    co_return answer;
}

// As `settle`, for a guest on the strand `home`.
asio::awaitable<void> postgres_exchange::settle_for(const strand& home) {
    if (!wire_.is_flushed()) {
        co_return co_await within_strand(home, settle());
    }
    while (!take_all_there_is()) {
        const auto [failure] = co_await wire_.wait_readable(home);
        if (failure) {  // nobody cancels it: the descriptor is of no use
            abort();
            co_return;
        }
        wire_.take_in();
    }
}

}  // namespace bitdotio
