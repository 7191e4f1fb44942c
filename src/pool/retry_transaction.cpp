// Decides when a transaction is tried again, and how long it pauses before.
#include <bitdotio/retry_transaction.hpp>

#include "base/backoff.hpp"
#include "base/deadline.hpp"
#include "pool/pool_core.hpp"
#include "pool/transaction_source.hpp"
#include "postgres/connector.hpp"
#include "postgres/failure.hpp"
#include "postgres/postgres_session.hpp"
#include "postgres/transaction_scope.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <optional>
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
    progress(pool from_, transaction_retry_options options_, std::source_location where_)
        : from(std::move(from_)), options(std::move(options_)), where(where_) {
        options.check();
        pace.max_attempts = options.max_attempts;
        pace.first_delay = options.first_delay;
        pace.max_delay = options.max_delay;
        deadline = deadline_after(options.timeout);
        wakes = from.core()->wakes();
    }

    error told(const error& failure) const {
        return failure.with_attempts(attempts).with_woke_database(
            failure.woke_database() || failure.code() == errc::database_asleep ||
            from.core()->wakes() != wakes);
    }

    // Another server may take a write that was refused: once, unless the transaction is read only.
    bool may_go_elsewhere() {
        return options.transaction.read_only != true && !std::exchange(elsewhere, true);
    }

    pool from;
    const transaction_retry_options options;
    const std::source_location where;
    retry_options pace;
    time_point deadline;
    std::uint64_t wakes = 0;
    int attempts = 1;
    std::optional<error> last;  // why there is to be another try
    std::chrono::milliseconds delay{0};
    bool elsewhere = false;
    bool committing = false;
};

transaction_retry::transaction_retry(pool from, transaction_retry_options options,
                                     std::source_location where)
    : progress_(std::make_unique<progress>(std::move(from), std::move(options), where)) {}

transaction_retry::~transaction_retry() = default;

asio::awaitable<transaction> transaction_retry::begin() {
    while (true) {
        std::optional<transaction> open;
        std::optional<error> failure;
        try {
            co_await begin_into(open);
        } catch (const error& thrown) {
            failure = thrown;
        }
        if (!failure) {
            co_return std::move(*open);
        }
        if (failure->code() == errc::timeout &&
            std::chrono::steady_clock::now() >= progress_->deadline) {
            failure = failure->with_message(
                std::string("the time for all tries of the transaction was up before it could "
                            "begin: ") +
                failure->what());
        }
        plan(*failure, failure->code() == errc::connection_lost);
        try {
            co_await pause();
        } catch (...) {
            rethrow();
        }
    }
}

asio::awaitable<void> transaction_retry::begin_into(std::optional<transaction>& open) {
    progress_->committing = false;
    const transaction_options& options = progress_->options.transaction;
    const auto own = options.begin_timeout.value_or(std::chrono::milliseconds(0));
    const time_point until = std::min(progress_->deadline, deadline_after(own));
    open.emplace(co_await begin_on(progress_->from.core(), options, until, progress_->where));
}

asio::awaitable<void> transaction_retry::commit(transaction& open) {
    if (open.is_open()) {  // or `work` has ended it
        progress_->committing = true;
        co_await progress_->from.commit(open, progress_->where);
    }
}

asio::awaitable<void> transaction_retry::limit(asio::awaitable<void> attempt) {
    if (progress_->deadline == no_deadline) {
        co_await std::move(attempt);
    } else {
        co_await with_deadline(cancellable(std::move(attempt)), progress_->deadline);
    }
}

// Runs the attempt as a coroutine of its own, which the deadline can cancel.
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
    if (!open.is_open() || open.scope()->may_have_committed()) {
        return false;
    }
    // Another connection's loss says nothing about this transaction.
    return failure.code() != errc::connection_lost ||
           open.scope()->session()->status() == session_status::closed;
}

void transaction_retry::decide(const transaction& open, std::exception_ptr thrown) {
    std::optional<error> failure;
    try {
        std::rethrow_exception(thrown);
    } catch (const error& ours) {
        failure = ours;
    }
    if (failure->code() == errc::cancelled &&
        std::chrono::steady_clock::now() >= progress_->deadline) {
        failure = failure->with_code(errc::timeout)
                      .with_message(std::string("the time for all tries of the transaction was "
                                                "up: ") +
                                    failure->what());
    }
    const bool elsewhere = is_read_only_server(*failure);
    plan(*failure, may_run_again(open, *failure) && (!elsewhere || progress_->may_go_elsewhere()));
}

// Notes how long to pause before the next try, or throws the failure.
void transaction_retry::plan(const error& failure, bool may_run_again) {
    std::optional<std::chrono::milliseconds> delay;
    if (may_run_again) {
        delay = retry_delay(progress_->pace, progress_->attempts, std::nullopt, random_fraction());
    }
    if (!delay || from_now(*delay) >= progress_->deadline) {
        throw progress_->told(failure);
    }
    progress_->last = failure;
    progress_->delay = *delay;
}

asio::awaitable<void> transaction_retry::pause() {
    asio::steady_timer timer(co_await asio::this_coro::executor, progress_->delay);
    co_await timer.async_wait(asio::use_awaitable);  // `rethrow` says what a cancellation means
    ++progress_->attempts;
    progress_->from.core()->count_retry(*progress_->last);
}

asio::awaitable<transaction> transaction_retry::next(transaction failed) {
    std::optional<transaction> open = std::move(failed);
    if (open->is_open() && is_read_only_server(*progress_->last)) {
        open->scope()->session()->close();
        progress_->from.core()->distrust_idle();
    } else if (open->is_open()) {
        // Its locks would block the next try.
        co_await limit(roll_back(*open));
    }
    open.reset();  // gives the connection back
    co_await pause();
    co_return co_await begin();
}

void transaction_retry::rethrow() const {
    try {
        throw;
    } catch (const boost::system::system_error&) {
        throw progress_->told(progress_->last->with_code(errc::cancelled)
                                  .with_message(std::string("cancelled before the next try of a "
                                                            "transaction that had failed: ") +
                                                progress_->last->what()));
    }
}

asio::awaitable<void> transaction_retry::roll_back(transaction& open) {
    try {
        co_await open.rollback();
    } catch (const error&) {  // then the pool does it, or closes the connection
    }
}

}  // namespace bitdotio
