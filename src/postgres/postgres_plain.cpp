// The way of most statements: nothing before it, no time limit, nobody who can cancel it.
#include "postgres/postgres_exchange.hpp"

#include <optional>
#include <utility>
#include <vector>

namespace bitdotio {

// What `ask` comes to for most statements, in one frame. All else goes beside it.
asio::awaitable<result> postgres_exchange::answer_plainly(const strand& home, const statement& sql,
                                                          const params& values) {
    const turn mine(*this);
    phase when = phase::awaiting_reply;
    const bool in_transaction = begin_asking(sql, values, kind::extended, when);
    if (!wire_.is_flushed()) {
        co_await within_strand(home, settle());
    }
    while (!take_answers()) {
        if (!wire_.holds_unread()) {
            const auto [failure] = co_await wire_.wait_readable(home);
            if (failure) {  // nobody cancels it: the descriptor is of no use
                abort();
                break;
            }
        }
        wire_.take_in();
    }
    conclude(kind::extended, when, std::nullopt, in_transaction);
    if (has_other_encoding()) {
        co_await within_strand(home, restore_encoding());
        throw changed_encoding();
    }
    if (report_.commits()) {
        report_.require_commit(false);
    }
    if (std::exchange(send_again_, false)) {
        co_await within_strand(home, ask(sql, values, kind::extended, phase::awaiting_reply));
    }
    result answer = report_.take_last_answer();
    if (type_book::concerns(answer)) {
        std::vector<result*> told{&answer};
        auto telling = tell_types(std::move(told), statement_timeout_);
        co_await within_strand(home, std::move(telling));
    }
    co_return answer;
}

// As `settle`, for a guest on the strand `home`.
asio::awaitable<void> postgres_exchange::settle_for(const strand& home) {
    if (!wire_.is_flushed()) {
        co_return co_await within_strand(home, settle());
    }
    while (!take_answers()) {
        if (!wire_.holds_unread()) {
            const auto [failure] = co_await wire_.wait_readable(home);
            if (failure) {  // nobody cancels it: the descriptor is of no use
                abort();
                co_return;
            }
        }
        wire_.take_in();
    }
}

}  // namespace bitdotio
