// A statement of a pool whose caller waits once: from handing it over until its answer is there.
#pragma once

#include <bitdotio/result.hpp>

#include "base/suspended.hpp"
#include "pool/pool_core.hpp"
#include "postgres/postgres_plain.hpp"
#include "postgres/postgres_session.hpp"

#include <exception>
#include <optional>
#include <utility>

namespace bitdotio {

/// One try of a statement that nobody can cancel and that has no time limit beyond its own. It gets
/// a connection, is sent, answered, and gives the connection back, all as events come: no coroutine
/// is resumed in between, and who waits for the connection has sent before the caller goes on.
///
/// Thread safety: made and used by its caller; the rest happens on the pool's strand.
/// Lifetime: it stands in its caller's frame, which keeps the pool and what the try refers to.
class pool_statement final : pool_core::waiter {
public:
    /// Whether that way is open to a caller of this state.
    static bool may_take(const asio::cancellation_state& caller, const statement_try& one) {
        return cannot_be_cancelled(caller) && one.limits.until == no_deadline;
    }

    pool_statement(pool_core& pool, statement_try& one) : waiter(pool, one.where), one_(one) {}
    ~pool_statement();

    /// Awaited once, by the caller, who goes on where it was.
    auto end() {
        return suspend([this](auto&& caller) { begin(suspended(std::move(caller))); });
    }
    /// The answer. What failed has left its connection in the try.
    result take() {
        if (failure_) {
            std::rethrow_exception(failure_);
        }
        return std::move(answer_);
    }

private:
    struct event;
    struct ending;
    using plain_answer = postgres_exchange::plain_answer;

    void begin(suspended caller);
    void ask() noexcept;
    void got(pool_core::resource lent) noexcept override;
    void got_none(std::exception_ptr why) noexcept override;
    void wait();
    void come(const boost::system::error_code& failure, suspended caller);
    suspended go_on(const boost::system::error_code& failure, suspended caller) noexcept;
    void finish_slowly();
    asio::awaitable<void> answer_slowly();
    void conclude() noexcept;
    void leave_soon() { pool_.go_on_soon(std::move(caller_)); }

    statement_try& one_;
    suspended caller_;  // while it is neither in the queue nor waits for an event
    bool goes_on_here_ = false;
    pool_core::resource session_;
    std::optional<plain_answer> under_way_;
    result answer_;
    std::exception_ptr failure_;
};

}  // namespace bitdotio
