// Runs transactions again until they have happened once.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/pool.hpp>
#include <bitdotio/transaction.hpp>
#include <bitdotio/transaction_options.hpp>

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>
#include <variant>

namespace bitdotio {

namespace asio = boost::asio;

/// How often and how long a transaction is tried.
///
/// Thread safety: a value.
struct transaction_retry_options {
    transaction_retry_options() = default;

    /// The most tries, the first included. A conflict that outlives ten is one of design.
    int max_attempts = 10;
    /// The longest pause after the first failure; it doubles with each further one. The pause is
    /// random between nothing and that, so that transactions that collided do not meet again.
    std::chrono::milliseconds first_delay{10};
    std::chrono::milliseconds max_delay{1'000};
    /// The limit for all tries and pauses together; 0 means no limit. When it is over, the try
    /// under way is cancelled.
    std::chrono::milliseconds timeout{0};
    /// How each try begins. Set `transaction.resolvable` to settle a COMMIT without an answer: if
    /// it is not set, such a COMMIT ends the tries, because its outcome is unknown.
    transaction_options transaction;

    /// Errors: errc::bad_input naming the option and its range.
    void check() const;
};

/// The tries of one call of retry_transaction; not for use by others.
///
/// Thread safety: one thread at a time.
class transaction_retry {
public:
    transaction_retry(pool from, transaction_retry_options options, std::source_location where);
    ~transaction_retry();
    transaction_retry(const transaction_retry&) = delete;
    transaction_retry& operator=(const transaction_retry&) = delete;

    asio::awaitable<transaction> begin();
    asio::awaitable<void> commit(transaction& open);
    /// Runs a try, at most until the time for all tries is up.
    asio::awaitable<void> limit(asio::awaitable<void> attempt);
    /// Returns if there is to be another try; otherwise throws the failure.
    void decide(const transaction& open, std::exception_ptr thrown);
    /// Rolls back, pauses and begins again.
    asio::awaitable<transaction> next(transaction failed);
    /// Throws the exception being handled. Asio's exception for awaiting after a cancellation is
    /// thrown as the error that the tries ended with.
    [[noreturn]] void rethrow() const;

private:
    struct progress;

    asio::awaitable<void> begin_into(std::optional<transaction>& open);
    asio::awaitable<void> pause();
    void plan(const error& failure, bool may_run_again);
    asio::awaitable<void> roll_back(transaction& open);
    static asio::awaitable<void> cancellable(asio::awaitable<void> attempt);
    bool may_run_again(const transaction& open, const error& failure) const;

    std::unique_ptr<progress> progress_;
};

namespace wire {

// Runs one try. Its failure is kept: the time limit must not hide what is known of a COMMIT.
template <class Work, class Value>
asio::awaitable<void> attempt(transaction_retry& all, Work& work, transaction& open,
                              std::optional<Value>& value, std::exception_ptr& failure) {
    try {
        if constexpr (std::is_same_v<Value, std::monostate>) {
            co_await work(open);
            value.emplace();
        } else {
            Value made = co_await work(open);
            value.emplace(std::move(made));
        }
        co_await all.commit(open);
    } catch (...) {
        failure = std::current_exception();
    }
}

}  // namespace wire

/// Runs `work(transaction&)`, an awaitable, in a transaction of the pool, commits it, and returns
/// what `work` returned; runs all of it again, `work` from its beginning, if the transaction is
/// known not to have happened and another try may succeed.
///
/// That is so if it lost against another (SQLSTATE 40001, 40P01), if its connection broke before
/// COMMIT was sent, if the server was short of something (class 53), must not be written to (25006,
/// once) or had changed a prepared statement's tables (26000, 0A000 of a cached plan); and, with
/// transaction_options::resolvable, if COMMIT was not answered and the server says that the
/// transaction was rolled back. If it says committed, that is success. Everything else, errors of
/// your own included, ends the tries.
///
/// What `work` does outside the database happens as often as it runs. If it commits or rolls back
/// itself, the transaction ends there.
///
/// Parameters: `work`, a named callable; a temporary would be destroyed while it runs.
/// Errors: the last try's, with the number of `attempts()`; errc::timeout when the time for all was
///     up while it waited or paused; errc::commit_outcome_unknown is never tried again.
/// Cancellation: terminal, partial, total; the transaction is rolled back.
/// Thread safety: as pool.
template <class Work>
auto retry_transaction(pool from, Work& work,
                       transaction_retry_options options = transaction_retry_options(),
                       std::source_location where = std::source_location::current())
    -> std::invoke_result_t<Work&, transaction&> {
    using answer = typename std::invoke_result_t<Work&, transaction&>::value_type;
    using value_type = std::conditional_t<std::is_void_v<answer>, std::monostate, answer>;
    transaction_retry all(std::move(from), std::move(options), where);
    transaction open = co_await all.begin();
    while (true) {
        std::optional<value_type> value;
        std::exception_ptr thrown;
        auto one = wire::attempt(all, work, open, value, thrown);
        co_await all.limit(std::move(one));
        if (!thrown) {
            if constexpr (std::is_void_v<answer>) {
                co_return;
            } else {
                co_return std::move(*value);
            }
        }
        all.decide(open, thrown);
        try {
            open = co_await all.next(std::move(open));
        } catch (...) {
            all.rethrow();
        }
    }
}
// Name the callable on the line before, then pass it.
template <class Work>
void retry_transaction(
    pool from, Work&& work,
    transaction_retry_options options =
        transaction_retry_options()) requires(!std::is_lvalue_reference_v<Work>) = delete;

}  // namespace bitdotio
