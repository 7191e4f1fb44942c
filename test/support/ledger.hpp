// What clients were told about their writes, compared with the rows of the table.
#pragma once

#include "support/secrets.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/error.hpp>
#include <bitdotio/transaction.hpp>

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace test {

namespace asio = boost::asio;

/// How many keys ended how, by what their writers were told.
struct tally {
    std::size_t acknowledged = 0;
    std::size_t not_executed = 0;  ///< or not even sent
    std::size_t executed = 0;      ///< reported as an error, but done
    std::size_t unknown = 0;       ///< including those without any report
};

/// The history of a table without any unique constraint, in which every write has its own key, so
/// that the table shows what was lost, what was done twice, or done although reported undone.
///
/// Thread safety: none; it is used where its executor runs.
class ledger {
public:
    using key = std::int64_t;

    /// Makes the table; `insert` writes a key, bound to $1, into it.
    static constexpr const char* create = "CREATE TABLE ledger (key bigint NOT NULL)";
    static constexpr const char* insert = "INSERT INTO ledger VALUES ($1)";

    /// A key for one write. Until something is recorded, its outcome is unknown.
    key open();
    /// Keys of one transaction: all of them are there, or none.
    std::vector<key> open(std::size_t count);

    void acknowledge(key written);
    void acknowledge(const std::vector<key>& written);
    /// The writer was told that the write failed, with this outcome.
    void fail(key written, bitdotio::outcome known);
    void fail(const std::vector<key>& written, bitdotio::outcome known);

    tally counts() const;
    /// Of some keys.
    tally counts(const std::vector<key>& some) const;
    std::size_t size() const { return entries_.size(); }

private:
    friend struct auditor;
    enum class fate { acknowledged, not_executed, executed, unknown };
    struct entry {
        fate told = fate::unknown;
        std::size_t group = 0;
    };

    void settle(key written, fate told);
    static void count(tally& into, fate told);

    std::vector<entry> entries_;  // key 1 is the first
    std::size_t groups_ = 0;
};

/// How a table can contradict its history.
enum class breach {
    missing,     ///< acknowledged, or reported as executed, and not there
    twice,       ///< there more than once
    run_anyway,  ///< reported as not executed, and there
    unasked,     ///< there, but never written
    torn,        ///< there, but others of its transaction are not
};

struct violation {
    breach what;
    ledger::key key;
};

/// What an audit found.
struct verdict {
    std::vector<violation> violations;

    std::size_t count(breach what) const;
    bool clean() const { return violations.empty(); }
    /// The first of them in words, for a failing test.
    std::string text() const;
};

/// Waits until the other backends of the database have ended or are idle, then reads the table.
///
/// Parameters: `direct` reaches the database directly, through no proxy. Awaited in place.
/// Errors: std::runtime_error if a backend still works after 20 s; those of connection::query.
asio::awaitable<verdict> check(const ledger& book, bitdotio::connection& direct);

/// Awaits a write, records in the ledger how it ended, and returns its error if it failed. Awaited
/// in place.
template <class T>
asio::awaitable<std::optional<bitdotio::error>> record(ledger& book, std::vector<ledger::key> keys,
                                                       asio::awaitable<T> write) {
    try {
        co_await std::move(write);
        book.acknowledge(keys);
    } catch (const bitdotio::error& failure) {
        expect_discreet(failure);
        book.fail(keys, failure.outcome());
        co_return failure;
    }
    co_return std::nullopt;
}

/// Writes one key through a pool, a connection or a transaction, see `record`.
template <class Session>
asio::awaitable<std::optional<bitdotio::error>> write_one(Session& through, ledger& book) {
    const ledger::key key = book.open();
    const std::vector<ledger::key> keys{key};
    co_return co_await record(book, keys, through.query(ledger::insert, key));
}

/// Writes keys in a transaction of a pool or a connection, see `record`. A failure before COMMIT is
/// sent means not executed.
template <class Session>
asio::awaitable<std::optional<bitdotio::error>> write_together(Session& through, ledger& book,
                                                               std::size_t count) {
    const std::vector<ledger::key> keys = book.open(count);
    std::optional<bitdotio::transaction> open;
    try {
        open.emplace(co_await through.begin());
        for (const ledger::key key : keys) {
            co_await open->query(ledger::insert, key);
        }
    } catch (const bitdotio::error& failure) {
        expect_discreet(failure);
        book.fail(keys, bitdotio::outcome::not_executed);
        co_return failure;
    }
    co_return co_await record(book, keys, open->commit());
}

}  // namespace test
