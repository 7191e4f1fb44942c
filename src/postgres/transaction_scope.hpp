// A transaction and those nested in it: only the innermost may speak.
#pragma once

#include <bitdotio/open_part.hpp>
#include <bitdotio/params.hpp>
#include <bitdotio/pipeline.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/statement.hpp>
#include <bitdotio/transaction_options.hpp>

#include "base/deadline.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

class postgres_session;
struct copy_start;

/// On what a transaction runs.
struct transaction_start {
    std::shared_ptr<postgres_session> session;
    std::shared_ptr<void> lease{};  ///< what gives the connection back, if it is a pool's
    /// Whether its BEGIN is sent with its first statement.
    bool deferred = false;
};

/// Begins the transaction on another connection, because the one that it was to begin on was lost
/// before it did; throws the failure if there is to be no other try.
///
/// Parameters: `until` is when the caller stops waiting.
using transaction_restart =
    std::function<asio::awaitable<transaction_start>(error failure, time_point until)>;

/// What the handles of one transaction share: itself, nested ones, cursors, large objects. Level 1
/// is the transaction, each nested one is one level higher and a savepoint on the server.
///
/// Thread safety: as the handles: one operation at a time.
class transaction_scope {
public:
    transaction_scope(transaction_start on, bool resolvable, transaction_restart restart);

    /// Parameters: `self` is kept until the end; null for no transaction.
    /// Errors: those of `enter`, of the session, and of `require_some`.
    static asio::awaitable<result> run(std::shared_ptr<transaction_scope> self, std::size_t level,
                                       statement sql, params values);
    asio::awaitable<std::vector<result>> script(std::size_t level, statement sql);

    /// Errors: errc::protocol_violated if it is null.
    static void require_some(const std::shared_ptr<transaction_scope>& self);

    /// Ends what was nested and dropped, and names who may not speak now.
    ///
    /// Errors: errc::protocol_violated if the level is over, or a deeper one is open.
    asio::awaitable<std::shared_ptr<postgres_session>> enter(std::size_t level);
    /// The same where nothing is to be ended, without a frame; otherwise false.
    bool enters_at_once(std::size_t level) {
        require_turn(level);
        return !dropped_;
    }

    /// Calls `what` with the session, on another one again if the first was lost before the
    /// transaction began there: that is known to have done nothing.
    ///
    /// Parameters: `what` may be called several times; `until` the caller waits for another.
    /// Errors: those of `enter` and of `what`.
    template <class What>
    auto ask(std::size_t level, What what, time_point until = no_deadline)
        -> std::invoke_result_t<What&, postgres_session&> {
        auto session = co_await enter(level);
        while (true) {
            std::optional<error> lost;
            try {
                auto answer = co_await what(*session);
                if (!is_new_ || !may_restart(*session, failure_of(answer))) {
                    co_return answer;
                }
                lost = *failure_of(answer);
            } catch (const error& failure) {
                if (!is_new_ || !may_restart(*session, &failure)) {
                    throw;
                }
                lost = failure;
            }
            co_await restart(*lost, until);
            session = session_;
        }
    }
    /// Starts a COPY.
    asio::awaitable<copy_start> start_copy(std::size_t level, statement sql, bool in);

    /// Sets a savepoint; returns the new level.
    asio::awaitable<std::size_t> nest(std::size_t level);
    asio::awaitable<void> commit(std::size_t level);
    asio::awaitable<void> rollback(std::size_t level);

    /// The handle of this level is gone without an end. Undone before the next statement; of the
    /// outermost, by whoever has the connection next.
    void abandon(std::size_t level) noexcept;

    /// Whether it goes on: it was not ended here, nor, as the server says, by a statement.
    bool is_open() const noexcept;

    std::shared_ptr<void> lease() const { return lease_; }
    std::shared_ptr<postgres_session> session() const { return session_; }

    /// A statement of the user's is about to be sent.
    ///
    /// Errors: errc::bad_input, and nothing is to be sent, if it would go on in another
    /// transaction.
    void note(const statement& sql);
    /// Whether one of them was a COMMIT or the like.
    bool may_have_committed() const noexcept { return may_have_committed_; }
    std::string new_cursor_name() { return "bitdotio_cursor_" + std::to_string(++cursors_); }

private:
    void require_turn(std::size_t level);
    static std::string savepoint(std::size_t level);
    static asio::awaitable<std::string> ask_for_id(std::shared_ptr<postgres_session> session);
    void close() noexcept;
    void require_open(std::size_t level);
    bool may_restart(const postgres_session& session, const error* failure);
    asio::awaitable<void> restart(error failure, time_point until);
    static const error* failure_of(const pipeline_results& answers) {
        return answers.size() > 0 ? answers.failure(0) : nullptr;
    }
    template <class Answer>
    static const error* failure_of(const Answer&) {
        return nullptr;
    }

    std::shared_ptr<postgres_session> session_;  // none when it is over
    std::shared_ptr<void> lease_;
    transaction_restart restart_;
    bool is_new_;                   // its BEGIN may not have been answered yet
    std::optional<error> refused_;  // why it never began
    bool resolvable_;
    bool may_have_committed_ = false;
    bool ended_by_hand_ = false;
    std::size_t depth_ = 1;
    std::optional<std::size_t> dropped_;  // the outermost of the nested that were dropped
    std::size_t cursors_ = 0;
};

/// Whether a BEGIN may be sent with the first statement: whether the server would refuse it is
/// known beforehand.
bool may_defer(const transaction_options& options, const postgres_session& session);

/// A transaction that has just been begun, as its handle holds it.
///
/// Parameters: `restart`, if it may begin elsewhere; it is called only if the start is deferred.
wire::open_part<transaction_scope> outermost(transaction_start on, bool resolvable,
                                             transaction_restart restart = nullptr);

}  // namespace bitdotio
