// A BEGIN that waits for its transaction's first statement, and travels with it.
#pragma once

#include "postgres/libpq.hpp"

#include <atomic>
#include <string>
#include <utility>

namespace bitdotio {

/// Whether a BEGIN is owed, and what became of it.
///
/// It goes ahead of a statement in a pipeline, under the same sync: if it is refused, the server
/// passes over the statement, which must not run outside of a transaction. The server is asked to
/// answer it at once: a connection that is lost before that has done nothing of the transaction,
/// and had not begun the statement as far as anybody could tell.
///
/// Thread safety: none but that of `is_due` and `has_begun`; it belongs to its session.
class deferred_begin {
public:
    /// Parameters: `text` is the statement, not empty.
    void owe(std::string text) noexcept {
        text_ = std::move(text);
        begun_ = false;
        due_ = true;
    }
    bool is_due() const noexcept { return due_; }
    /// It is not needed any more, or is to be sent by itself. Empty if none was due.
    std::string take() noexcept {
        due_ = false;
        return std::exchange(text_, {});
    }
    /// One sent by itself has succeeded.
    void succeed() noexcept { begun_ = true; }
    /// Whether the one owed last has begun a transaction.
    bool has_begun() const noexcept { return begun_; }

    /// Calls `ask` with the statement; none is due then. Its answer goes to `swallow`.
    template <class Ask>
    bool send(const Ask& ask) {
        const std::string text = take();
        awaited_ = true;
        return ask(text.c_str());
    }

    /// Whether an answer, null at its end, is its own, and not to be seen by anybody. A refusal is
    /// the statement's too, which the server passes over.
    bool swallow(const PGresult* answer) noexcept {
        if (!awaited_) {
            return false;
        }
        if (!answer) {
            awaited_ = false;
            return true;
        }
        const ExecStatusType status = PQresultStatus(answer);
        if (status == PGRES_COMMAND_OK) {
            begun_ = true;
        }
        return status == PGRES_COMMAND_OK || status == PGRES_PIPELINE_ABORTED;
    }

    /// The connection has ended: there is nothing to send or to wait for.
    void end() noexcept {
        take();
        awaited_ = false;
    }

private:
    std::string text_;
    bool awaited_ = false;  ///< sent, and its end has not come
    std::atomic<bool> due_{false};
    std::atomic<bool> begun_{false};
};

}  // namespace bitdotio
