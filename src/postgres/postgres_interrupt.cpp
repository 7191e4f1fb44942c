// How a statement that took too long, or whose caller gave up, is stopped on the server.
#include "postgres/postgres_exchange.hpp"

#include "postgres/failure.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace bitdotio {

namespace {

constexpr std::chrono::milliseconds cancel_interval{250};

}  // namespace

// Lets the server answer until the deadline or a cancellation, which stop the statement there.
// What interrupted it is told, unless the session did not survive it.
asio::awaitable<std::optional<error>> postgres_exchange::supervise(asio::awaitable<void> talk,
                                                                   time_point deadline,
                                                                   phase when) {
    std::optional<error> interrupted;
    try {
        co_await with_deadline(std::move(talk), deadline);
    } catch (const error& failure) {
        interrupted = failure;
    }
    if (!interrupted) {
        co_return std::nullopt;
    }
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const bool stopped = co_await stop_statement();
    if (!stopped) {
        abort();
        const bool commit = when == phase::committing;
        const outcome known = judge(report_.stage_at(when), failure_facts()).outcome;
        throw error(
            commit ? errc::commit_outcome_unknown : interrupted->code(),
            std::string("the statement was given up and its connection cut, because the "
                        "server did not acknowledge the cancellation; ") +
                (report_.is_in_transaction() && !commit ? "its transaction is rolled back"
                                                        : "whether it was executed is unknown"))
            .with(when)
            .with(known);
    }
    co_return interrupted;
}

// Cancels on the server and takes in the answers. The session is idle again only when both have
// ended: a cancel still on its way would hit the next statement.
asio::awaitable<bool> postgres_exchange::stop_statement() {
    if (stream_.is(open_stream::kind::copy_in)) {
        PQputCopyEnd(wire_.conn(), "given up by the client");
        stream_.await_answers();
        co_return co_await settles_before(std::min(deadline_after(cancel_timeout_), give_up_at_));
    }
    if (PQsocket(wire_.conn()) < 0 || (batch_ && !batch_->is_stoppable())) {
        co_return false;
    }
    const time_point deadline = std::min(deadline_after(cancel_timeout_), give_up_at_);
    try {
        // Before the whole statement is there, the server would ignore it; and where several run,
        // it stops only one: so it is repeated.
        co_await with_deadline(wire_.flush(), deadline);
        while (true) {
            co_await with_deadline(cancels_->request(wire_.conn()), deadline);
            const time_point again = std::min(deadline, deadline_after(cancel_interval));
            const bool settled = co_await settles_before(again);
            if (settled || again == deadline) {
                co_return settled;
            }
        }
    } catch (const error&) {
        co_return false;
    }
}

asio::awaitable<bool> postgres_exchange::settles_before(time_point deadline) {
    try {
        co_await with_deadline(settle(), deadline);
    } catch (const error&) {
        co_return false;
    }
    co_return true;
}

}  // namespace bitdotio
