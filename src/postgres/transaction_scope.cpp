// Savepoints, and whose turn it is.
#include "postgres/transaction_scope.hpp"

#include "postgres/failure.hpp"
#include "postgres/postgres_session.hpp"
#include "postgres/statement_words.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio {

namespace {

// What resolve_commit takes apart again. The number alone would be another transaction's on a
// server that has been promoted or restored. Assigned, not only looked up: a transaction that only
// notifies has none before its COMMIT.
constexpr const char* identity =
    "SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.concat_ws('/', "
    "pg_catalog.pg_current_xact_id(), "
    "pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8), "
    "(SELECT system_identifier FROM pg_catalog.pg_control_system())) END";

}  // namespace

transaction_scope::transaction_scope(transaction_start on, bool resolvable,
                                     transaction_restart restart)
    : session_(std::move(on.session)),
      lease_(std::move(on.lease)),
      restart_(std::move(restart)),
      is_new_(on.deferred),
      resolvable_(resolvable) {}

wire::open_part<transaction_scope> outermost(transaction_start on, bool resolvable,
                                             transaction_restart restart) {
    auto scope = std::make_shared<transaction_scope>(std::move(on), resolvable, std::move(restart));
    return {std::move(scope), 1};
}

// A standby refuses what is serializable, or may write; of a server of old that does not tell, it
// is not known. A limit for the beginning alone needs a beginning of its own.
bool may_defer(const transaction_options& options, const postgres_session& session) {
    const bool suits_a_standby =
        options.isolation != isolation_level::serializable && options.read_only != false;
    return !options.begin_timeout && (suits_a_standby || session.role().standby == false);
}

std::string transaction_scope::savepoint(std::size_t level) {
    return "bitdotio_" + std::to_string(level);
}

void transaction_scope::close() noexcept {
    session_.reset();
    lease_.reset();
}

bool transaction_scope::is_open() const noexcept {
    return session_ && session_->status() != session_status::idle;
}

// What the server said last, with ReadyForQuery, tells a transaction that a statement has ended:
// whatever came next would be a transaction of its own.
void transaction_scope::require_open(std::size_t level) {
    if (session_ && !is_open()) {
        ended_by_hand_ = true;
        close();
    }
    if (refused_) {
        throw error(errc::protocol_violated,
                    std::string("the transaction could not begin, so nothing was sent: ") +
                        refused_->what())
            .with(outcome::not_sent);
    }
    if (ended_by_hand_) {
        throw error(errc::protocol_violated,
                    "the transaction is over: a statement in it, such as COMMIT or ROLLBACK, has "
                    "ended it; nothing was sent")
            .with(outcome::not_sent);
    }
    if (!session_ || level > depth_) {
        throw error(errc::protocol_violated, "the transaction is already committed or rolled back")
            .with(outcome::not_sent);
    }
}

void transaction_scope::require_some(const std::shared_ptr<transaction_scope>& self) {
    if (!self) {
        throw error(errc::protocol_violated,
                    "no transaction is open: it was never begun, or is already committed or rolled "
                    "back")
            .with(outcome::not_sent);
    }
}

void transaction_scope::require_turn(std::size_t level) {
    require_open(level);
    if (level < depth_) {
        throw error(errc::protocol_violated,
                    "a transaction nested in this one is open: commit it, roll it back or drop "
                    "it first")
            .with(outcome::not_sent);
    }
}

asio::awaitable<std::shared_ptr<postgres_session>> transaction_scope::enter(std::size_t level) {
    require_turn(level);
    const auto session = session_;
    if (dropped_) {
        const std::string name = savepoint(*dropped_);
        co_await session->script("ROLLBACK TO SAVEPOINT " + name + "; RELEASE SAVEPOINT " + name);
        dropped_.reset();
    }
    co_return session;
}

// After the first statement: whether to begin elsewhere, because it failed before there was a
// transaction. Notes how this one is from here on.
bool transaction_scope::may_restart(const postgres_session& session, const error* failure) {
    if (session.owes_begin()) {
        return false;  // nothing was sent: it is as before
    }
    is_new_ = false;
    if (session.has_begun() || !failure) {
        return false;
    }
    if (session.status() == session_status::idle) {
        refused_ = *failure;
    }
    return restart_ && failure->code() == errc::connection_lost &&
           (failure->outcome() == outcome::not_sent || failure->outcome() == outcome::not_executed);
}

// If that fails, this goes on to stand for the connection that was lost.
asio::awaitable<void> transaction_scope::restart(error failure, time_point until) {
    const transaction_restart again = restart_;
    lease_.reset();
    transaction_start next = co_await again(std::move(failure), until);
    session_ = std::move(next.session);
    lease_ = std::move(next.lease);
    is_new_ = next.deferred;
}

// As `ask`, in one frame.
asio::awaitable<result> transaction_scope::run(std::shared_ptr<transaction_scope> self,
                                               std::size_t level, statement sql, params values) {
    require_some(self);
    if (!self->enters_at_once(level)) {
        co_await self->enter(level);
    }
    self->note(sql);
    const time_point until =
        self->is_new_ && sql.timeout() ? deadline_after(*sql.timeout()) : no_deadline;
    while (true) {
        const auto session = self->session_;
        std::optional<error> lost;
        try {
            result answer = co_await session->run_kept(sql, values);
            if (self->is_new_) {
                self->may_restart(*session, nullptr);
            }
            co_return answer;
        } catch (const error& failure) {
            if (!self->is_new_ || !self->may_restart(*session, &failure)) {
                throw;
            }
            lost = failure;
        }
        co_await self->restart(*lost, until);
        if (until != no_deadline) {
            sql.timeout(left_until(until));
        }
    }
}

void transaction_scope::note(const statement& sql) {
    if (chains_transactions(sql.sql())) {
        throw error(errc::bad_input,
                    "AND CHAIN would go on in another transaction, which this one does not stand "
                    "for: end this one, and begin another; nothing was sent")
            .with(outcome::not_sent);
    }
    may_have_committed_ = may_have_committed_ || commits(sql.sql());
}

asio::awaitable<std::vector<result>> transaction_scope::script(std::size_t level, statement sql) {
    co_await enter(level);
    note(sql);
    may_have_committed_ = may_have_committed_ || may_commit(sql.sql());
    auto what = [sql = std::move(sql)](postgres_session& session) { return session.script(sql); };
    co_return co_await ask(level, std::move(what));
}

asio::awaitable<copy_start> transaction_scope::start_copy(std::size_t level, statement sql,
                                                          bool in) {
    auto what = [sql = std::move(sql), in](postgres_session& session) {
        return session.start_copy(sql, in);
    };
    co_return co_await ask(level, std::move(what));
}

asio::awaitable<std::size_t> transaction_scope::nest(std::size_t level) {
    auto what = [name = savepoint(level + 1)](postgres_session& session) {
        return session.script("SAVEPOINT " + name);
    };
    co_await ask(level, std::move(what));
    depth_ = level + 1;
    co_return depth_;
}

asio::awaitable<void> transaction_scope::commit(std::size_t level) {
    if (level > 1) {
        co_await script(level, "RELEASE SAVEPOINT " + savepoint(level));
        depth_ = level - 1;
        co_return;
    }
    if (!enters_at_once(level)) {
        co_await enter(level);
    }
    const auto session = session_;
    const auto lease = lease_;
    // Whatever COMMIT ends in, it is over: there is nothing left to roll back here.
    close();
    std::string id;
    try {
        if (is_new_) {
            const bool nothing = co_await session->end_unbegun();
            if (nothing) {
                co_return;
            }
        }
        if (resolvable_) {
            id = co_await ask_for_id(session);
        }
        co_await session->commit();
    } catch (const error& failure) {
        session->roll_back_first();  // it is open still where COMMIT was never sent
        throw failure.code() == errc::commit_outcome_unknown ? failure.with_transaction_id(id)
                                                             : failure;
    } catch (...) {
        session->roll_back_first();
        throw;
    }
}

asio::awaitable<std::string> transaction_scope::ask_for_id(
    std::shared_ptr<postgres_session> session) {
    try {
        const result answer = co_await session->run(identity, params());
        co_return answer.one<std::optional<std::string>>().value_or("");
    } catch (const error& failure) {
        // Where a statement had failed before, COMMIT finds the words for it.
        if (!echoes_earlier(failure.server())) {
            throw;
        }
    }
    co_return "";
}

asio::awaitable<void> transaction_scope::rollback(std::size_t level) {
    if (refused_) {
        close();
        co_return;
    }
    require_open(level);
    const auto session = session_;
    const auto lease = lease_;
    try {
        if (level > 1) {
            const std::string name = savepoint(level);
            co_await session->script("ROLLBACK TO SAVEPOINT " + name + "; RELEASE SAVEPOINT " +
                                     name);
            depth_ = level - 1;
            dropped_.reset();
        } else {
            close();
            bool nothing = false;
            if (is_new_) {
                nothing = co_await session->end_unbegun();
            }
            if (!nothing) {
                co_await session->script("ROLLBACK");
            }
        }
    } catch (const error& failure) {
        // A connection that is lost has already undone everything.
        if (failure.code() != errc::connection_lost) {
            // Given up before it was sent, or midway: it is still to be done.
            if (level > 1) {
                abandon(level);
            } else {
                session->roll_back_first();
            }
            throw;
        }
        close();
    }
}

void transaction_scope::abandon(std::size_t level) noexcept {
    if (!session_ || level > depth_) {
        return;
    }
    if (level > 1) {
        dropped_ = std::min(level, dropped_.value_or(level));
        depth_ = level - 1;
        return;
    }
    // With a lease, the pool sees the open transaction when it comes back.
    if (!lease_ && is_open()) {
        session_->roll_back_first();
    }
    close();
}

}  // namespace bitdotio
