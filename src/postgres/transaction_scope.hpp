// A transaction and those nested in it: only the innermost may speak.
#pragma once

#include <bitdotio/open_part.hpp>
#include <bitdotio/params.hpp>
#include <bitdotio/pipeline.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/statement.hpp>

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

class postgres_session;

/// What the handles of one transaction share: itself, nested ones, cursors, large objects. Level 1
/// is the transaction, each nested one is one level higher and a savepoint on the server.
///
/// Thread safety: as the handles: one operation at a time.
class transaction_scope {
public:
    transaction_scope(std::shared_ptr<postgres_session> session, std::shared_ptr<void> lease,
                      bool resolvable);

    asio::awaitable<result> run(std::size_t level, statement sql, params values);
    asio::awaitable<std::vector<result>> script(std::size_t level, statement sql);

    /// Ends what was nested and dropped, and names who may not speak now.
    ///
    /// Errors: errc::protocol_violated if the level is over, or a deeper one is open.
    asio::awaitable<std::shared_ptr<postgres_session>> enter(std::size_t level);

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
    void note(const statement& sql) noexcept;
    /// Whether one of them was a COMMIT or the like.
    bool may_have_committed() const noexcept { return may_have_committed_; }
    std::string new_cursor_name() { return "bitdotio_cursor_" + std::to_string(++cursors_); }

private:
    static std::string savepoint(std::size_t level);
    static asio::awaitable<std::string> ask_for_id(std::shared_ptr<postgres_session> session);
    void close() noexcept;
    void require_open(std::size_t level);

    std::shared_ptr<postgres_session> session_;  // none when it is over
    std::shared_ptr<void> lease_;
    bool resolvable_;
    bool may_have_committed_ = false;
    bool ended_by_hand_ = false;
    std::size_t depth_ = 1;
    std::optional<std::size_t> dropped_;  // the outermost of the nested that were dropped
    std::size_t cursors_ = 0;
};

/// A transaction that has just been begun on `session`, as its handle holds it.
///
/// Parameters: `lease` is what gives the connection back, if it is a pool's.
wire::open_part<transaction_scope> outermost(std::shared_ptr<postgres_session> session,
                                             std::shared_ptr<void> lease, bool resolvable);

}  // namespace bitdotio
