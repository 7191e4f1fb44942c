// What answers, refusals, notices and a loss come to for the statement under way.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/statement.hpp>

#include "postgres/bounded_result.hpp"
#include "postgres/failure.hpp"
#include "postgres/libpq.hpp"
#include "postgres/statement_words.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bitdotio {

/// Gathers what the server says of a statement, and tells what it means: a result or an error.
///
/// What was said of the transaction around it, and why the server ended the session, outlives the
/// statement.
///
/// Thread safety: none; it belongs to its session.
class statement_report {
public:
    /// Forgets the statement before.
    void begin();
    /// Another transaction begins: what failed in the one before does not count.
    void forget_transaction() noexcept { failed_by_ = {}; }

    /// What has to be known of a statement to say what its failure means.
    ///
    /// Parameters: `alone` if the server takes no more than one statement from its text;
    ///     `in_transaction` whether one is open; `known` what its words say, if that is known.
    void note(const statement& sql, bool alone, bool in_transaction,
              const statement_facts* known = nullptr);
    /// The same of the statements of a pipeline, of which others may have run when one fails.
    void note_several(bool independent, bool in_transaction) noexcept;
    /// The result may not take more than `most` bytes.
    void limit(std::size_t most) { bounded_.emplace(most); }

    // ---- what comes from the server

    /// An answer that is no sync.
    void add(libpq::result answer);
    /// A notice. False for one that only tells why the session ends: it is nobody's else.
    bool hear(const server_message& notice);
    /// Words that end the session.
    void hear_goodbye(server_message said) noexcept { goodbye_ = std::move(said); }
    /// A COPY has begun, which only copy_from and copy_to can serve.
    void copy_begins() noexcept { copy_started_ = true; }
    /// A refusal, in the server's words.
    void refuse(server_message said);
    /// The refusal was of a statement in an open transaction, which has failed with it.
    void fail_transaction(const server_message& refusal);

    // ---- what it comes to

    bool has_copy_started() const noexcept { return copy_started_; }
    bool is_refused() const noexcept {
        return !refusal_.sqlstate.empty() || !refusal_.message.empty();
    }
    const server_message& refusal() const noexcept { return refusal_; }
    void forget_refusal() noexcept { refusal_ = {}; }
    /// Of a script that failed, what went before the failed statement may have been committed.
    void may_have_committed() noexcept { midway_ = true; }
    /// Whether it may commit a part of what it does before it fails.
    bool commits_midway() const noexcept { return midway_; }

    const std::vector<result>& answers() const noexcept { return answers_; }
    std::vector<result> take_answers() noexcept { return std::exchange(answers_, {}); }
    /// The last one; the others are dropped.
    result take_last_answer() noexcept {
        result last = answers_.empty() ? result() : std::move(answers_.back());
        answers_.clear();
        return last;
    }
    bool has_room() const noexcept { return !bounded_ || !bounded_->is_full(); }
    error too_large() const;

    /// Whether the statement was to end the transaction.
    bool commits() const noexcept { return commits_; }
    bool is_in_transaction() const noexcept { return in_transaction_; }
    stage stage_at(phase when) const noexcept;

    /// The error of a statement that was refused; `interrupted` is why it was stopped, if it was.
    error refusal_error(phase when, const std::optional<error>& interrupted);
    /// The error of a connection that broke, with libpq's `words` about it.
    error loss(phase when, const std::string& words);
    /// The same of one that had broken before.
    error loss_before(phase when, const std::string& words) const;
    /// The error of a statement that ended well although the server stopped waiting for its
    /// standby: cancelled by us, or by somebody else. Nothing for any other.
    std::optional<error> unconfirmed(phase when, const std::optional<error>& interrupted);
    /// The warning that this is so. Given out once.
    std::optional<server_message> take_unconfirmed();
    /// To commit a transaction that has failed, or to prepare it, rolls it back, which the server
    /// does not call an error. It would be taken for success.
    ///
    /// Parameters: `first` if the first answer is the COMMIT's, not the last.
    /// Errors: see refused_commit.
    void require_commit(bool first);
    /// The first refusal in the open transaction.
    const server_message& failed_by() const noexcept { return failed_by_; }
    /// Why the server ended the session, if it said so.
    const server_message& goodbye() const noexcept { return goodbye_; }

private:
    std::vector<result> answers_;
    std::optional<bounded_result> bounded_;  ///< its rows, if they are limited
    server_message refusal_;                 ///< its first error
    server_message committed_;  ///< a warning: it has committed, and no standby has confirmed
    bool copy_started_ = false;
    bool in_transaction_ = false;  ///< it began in one, alone in its text
    bool midway_ = false;          ///< it may commit before it fails
    bool commits_ = false;

    server_message failed_by_;
    server_message goodbye_;  ///< a FATAL notice
};

}  // namespace bitdotio
