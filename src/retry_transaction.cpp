// When a transaction is tried again, and how long it pauses before.
#include <bitdotio/retry_transaction.hpp>

#include "backoff.hpp"
#include "connector.hpp"
#include "deadline.hpp"
#include "failure.hpp"
#include "pool_core.hpp"
#include "postgres_session.hpp"
#include "transaction_scope.hpp"

#include <boost/asio/steady_timer.hpp>

#include <string>
#include <utility>

namespace bitdotio {

void transaction_retry_options::check() const {
    if (max_attempts < 1) {
        throw error(errc::bad_input, "transaction_retry_options::max_attempts is " +
                                         std::to_string(max_attempts) + "; it must be at least 1");
    }
    const std::pair<const char*, std::chrono::milliseconds> times[] = {
        {"first_delay", first_delay}, {"max_delay", max_delay}, {"timeout", timeout}};
    for (const auto& [name, time] : times) {
        if (time.count() < 0) {
            throw error(errc::bad_input, std::string("transaction_retry_options::") + name +
                                             " is " + std::to_string(time.count()) +
                                             " ms; it must not be negative");
        }
    }
}

struct transaction_retry::progress {
    progress(pool from_, transaction_retry_options options_)
        : from(std::move(from_)), options(std::move(options_)) {
        options.check();
        pace.max_attempts = options.max_attempts;
        pace.first_delay = options.first_delay;
        pace.max_delay = options.max_delay;
        deadline = deadline_after(options.timeout);
        wakes = from.core_->wakes();
    }

    error told(const error& failure) const {
        return failure.with_attempts(attempts).with_woke_database(
            failure.woke_database() || failure.code() == errc::database_asleep ||
            from.core_->wakes() != wakes);
    }

    // Where a write was refused, another server may take it: once, unless it was to be read only.
    bool may_go_elsewhere() {
        return options.transaction.read_only != true && !std::exchange(elsewhere, true);
    }

    pool from;
    const transaction_retry_options options;
    retry_options pace;
    time_point deadline;
    std::uint64_t wakes = 0;
    int attempts = 1;
    bool elsewhere = false;
    bool committing = false;
};

transaction_retry::transaction_retry(pool from, transaction_retry_options options)
    : progress_(std::make_unique<progress>(std::move(from), std::move(options))) {}

transaction_retry::~transaction_retry() = default;

asio::awaitable<transaction> transaction_retry::begin() {
    std::optional<transaction> open;
    try {
        co_await limit(begin_into(open));
    } catch (const error& failure) {
        const error all = failure.code() != errc::timeout || failure.phase() != phase::none
                              ? failure
                              : failure.with(phase::acquiring)
                                    .with_message(
                                        "the time for all tries of the transaction was "
                                        "up before it could begin");
        throw progress_->told(all);
    }
    co_return std::move(*open);
}

asio::awaitable<void> transaction_retry::begin_into(std::optional<transaction>& open) {
    progress_->committing = false;
    open.emplace(co_await progress_->from.begin(progress_->options.transaction));
}

asio::awaitable<void> transaction_retry::commit(transaction& open) {
    if (open.is_open()) {  // or `work` has ended it
        progress_->committing = true;
        co_await progress_->from.commit(open);
    }
}

asio::awaitable<void> transaction_retry::limit(asio::awaitable<void> attempt) {
    if (progress_->deadline == never) {
        co_await std::move(attempt);
    } else {
        co_await with_deadline(cancellable(std::move(attempt)), progress_->deadline);
    }
}

// What the deadline cancels is a coroutine of its own, and must agree to it.
asio::awaitable<void> transaction_retry::cancellable(asio::awaitable<void> attempt) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await std::move(attempt);
}

bool transaction_retry::may_run_again(const transaction& open, const error& failure) const {
    if (judge_transaction(failure) != verdict::again_as_a_whole) {
        return false;
    }
    if (progress_->committing) {
        return true;
    }
    if (!open.is_open() || open.scope_->may_have_committed()) {
        return false;
    }
    // A connection that is somebody else's says nothing about this transaction.
    return failure.code() != errc::connection_lost ||
           open.scope_->session()->status() == session_status::closed;
}

asio::awaitable<void> transaction_retry::recover(transaction open, error failure) {
    progress& so_far = *progress_;
    const auto now = std::chrono::steady_clock::now();
    if (failure.code() == errc::cancelled && now >= so_far.deadline) {
        failure = failure.with_code(errc::timeout)
                      .with_message(std::string("the time for all tries of the transaction was "
                                                "up: ") +
                                    failure.what());
    }
    std::optional<std::chrono::milliseconds> delay;
    if (may_run_again(open, failure) &&
        (!is_read_only_server(failure) || so_far.may_go_elsewhere())) {
        delay = retry_delay(so_far.pace, so_far.attempts, std::nullopt, random_fraction());
    }
    if (!delay || now + *delay >= so_far.deadline) {
        throw so_far.told(failure);
    }
    if (is_read_only_server(failure) && open.is_open()) {
        open.scope_->session()->close();
        so_far.from.core_->distrust_idle();
    } else if (open.is_open()) {
        // Its locks would stand in the way of the next try.
        co_await limit(roll_back(open));
    }
    {
        const transaction over = std::move(open);  // gives the connection back
    }
    asio::steady_timer pause(co_await asio::this_coro::executor, *delay);
    boost::system::error_code aborted;
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, aborted));
    if (aborted) {
        throw so_far.told(failure.with_code(errc::cancelled)
                              .with_message(std::string("cancelled before the next try of a "
                                                        "transaction that had failed: ") +
                                            failure.what()));
    }
    ++so_far.attempts;
    so_far.from.core_->count_retry();
}

asio::awaitable<void> transaction_retry::roll_back(transaction& open) {
    try {
        co_await open.rollback();
    } catch (const error&) {  // then the pool does it, or closes the connection
    }
}

}  // namespace bitdotio
