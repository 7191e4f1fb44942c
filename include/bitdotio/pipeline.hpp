// Many statements in one trip to the server, each with its own outcome.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/named.hpp>
#include <bitdotio/params.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/statement.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace bitdotio {

/// How the statements of a pipeline depend on each other.
enum class pipeline_sync {
    each_statement,  ///< An error touches no other; each is a transaction of its own.
    once,            ///< All or none: one implicit transaction, unless a transaction is open.
};

/// Statements that are sent together, so that they cost one round trip and not one each.
///
/// On a connection with an open transaction all belong to it, and in either mode the first error
/// makes the rest fail. `transaction` of a connection or a pool makes a transaction of them, with
/// isolation and access of its own, in the same one trip. Neither COPY nor several statements in
/// one text are possible.
///
/// Thread safety: a value.
/// See: PostgreSQL manual, 34.5 "Pipeline Mode".
class pipeline {
public:
    explicit pipeline(pipeline_sync sync = pipeline_sync::each_statement) : sync_(sync) {}

    /// Adds a statement with its values, by number or by name (see `named`). A timeout of the
    /// statement itself is ignored.
    ///
    /// Errors: errc::bad_input for values that cannot be bound, or are more than the statement
    ///     takes.
    template <class... Values>
    pipeline& add(statement&& sql, const Values&... values) {
        wire::bound bound(std::move(sql), values...);
        if (!is_last(bound.sql)) {
            texts_.push_back(std::move(bound.sql));
        }
        entries_.push_back({texts_.size() - 1, std::move(bound.values)});
        return *this;
    }
    /// The same without a copy of a statement that is the one added last.
    template <class... Values>
    pipeline& add(const statement& sql, const Values&... values) {
        if constexpr (!(wire::is_named<Values>::value || ...)) {
            if (is_last(sql)) {
                entries_.push_back({texts_.size() - 1, bound(sql, values...)});
                return *this;
            }
        }
        return add(statement(sql), values...);
    }

    /// The timeout of the whole; overrides connect_options::statement_timeout. Zero means no limit.
    ///
    /// Errors: errc::bad_input if it is negative.
    pipeline& timeout(std::chrono::milliseconds value) {
        timeout_ = wire::checked_timeout(value, "pipeline::timeout");
        return *this;
    }

    std::size_t size() const noexcept { return entries_.size(); }
    bool empty() const noexcept { return entries_.empty(); }
    pipeline_sync sync() const noexcept { return sync_; }
    std::optional<std::chrono::milliseconds> timeout() const noexcept { return timeout_; }

    /// These statements between a BEGIN and a COMMIT, under one sync; not for use by others.
    ///
    /// Errors: errc::bad_input if one of them would end the transaction.
    pipeline as_transaction(statement begin) &&;
    /// Of such a one the statements alone.
    pipeline without_ends() &&;
    bool is_transaction() const noexcept { return is_transaction_; }

    const statement& sql(std::size_t index) const { return texts_[entries_[index].text]; }
    const params& values(std::size_t index) const { return entries_[index].values; }

private:
    struct entry {
        std::size_t text;
        params values;
    };

    // By what counts of a statement here.
    bool is_last(const statement& sql) const noexcept {
        return !texts_.empty() && texts_.back().sql() == sql.sql() &&
               texts_.back().wants_text_results() == sql.wants_text_results() &&
               texts_.back().may_be_prepared() == sql.may_be_prepared();
    }
    template <class... Values>
    static params bound(const statement& sql, const Values&... values) {
        params bound;
        try {
            if constexpr (sizeof...(Values) > 0) {
                wire::check_count_early(sql.sql(), sizeof...(Values));
            }
            (bound.add(values), ...);
        } catch (const error& failure) {
            throw wire::not_bound(failure);
        }
        return bound;
    }

    std::vector<statement> texts_;  // one for neighbours that have the same
    std::vector<entry> entries_;
    pipeline_sync sync_;
    std::optional<std::chrono::milliseconds> timeout_;
    bool is_transaction_ = false;
};

/// What became of the statements of a pipeline, in their order.
///
/// Thread safety: a value that is not copied.
class pipeline_results {
public:
    /// A result or an error.
    struct entry {
        result answer;
        std::optional<error> failure;
    };

    pipeline_results() = default;
    /// Made by `run`.
    explicit pipeline_results(std::vector<entry> entries) noexcept : entries_(std::move(entries)) {}

    std::size_t size() const noexcept { return entries_.size(); }

    /// The result of a statement.
    ///
    /// Errors: the statement's own; errc::unexpected_shape if there is no such statement.
    const result& operator[](std::size_t index) const&;
    result operator[](std::size_t index) &&;
    /// The error of a statement, nullptr if it succeeded.
    const error* failure(std::size_t index) const&;
    std::optional<error> failure(std::size_t index) &&;
    /// Whether every statement succeeded.
    bool succeeded() const noexcept;

    /// All but the first and the last; not for use by others.
    pipeline_results without_ends() &&;

private:
    friend class type_book;  // of the session

    const entry& at(std::size_t index) const;

    std::vector<entry> entries_;
};

}  // namespace bitdotio
