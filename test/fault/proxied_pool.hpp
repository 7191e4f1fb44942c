// A pool behind a proxy, struck by faults, and what the contract says of each.
#pragma once

#include "fault/catalogue.hpp"
#include "support/fault_proxy.hpp"
#include "support/fault_report.hpp"
#include "support/ledger.hpp"
#include "support/postgres.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/error.hpp>
#include <bitdotio/pool.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace test {

namespace asio = boost::asio;

/// What a fault means for an operation, by the contract.
enum class meaning {
    harmless,  ///< It succeeds, perhaps slowly, and on the same connection.
    known,     ///< The connection was seen to be dead before anything was sent.
    lost,      ///< The connection broke after something had been sent.
    late,      ///< No answer came in time.
};

/// Which rows of an operation that failed after it was sent must be there in the end.
enum class rows { none, all, some };

struct fault {
    int number = 0;  ///< in docs/reliability.md
    std::string name;
    meaning means = meaning::lost;
    rows left = rows::some;
    /// Called right before the operation is sent.
    std::function<void(fault_proxy&)> arm;
};

/// A pool behind a proxy, a ledger of its writes, and a connection that goes around the proxy. One
/// for each case.
///
/// Thread safety: none; it is used where its executor runs, which must be of one thread.
class proxied_pool {
public:
    proxied_pool(asio::any_io_executor executor, const private_postgres& home,
                 std::chrono::milliseconds statement_timeout, std::size_t max_size = 2);

    /// Makes the table and lets the pool open a connection.
    asio::awaitable<void> begin();
    /// Writes at `where`, lets the fault happen, and checks what the writer was told and when.
    asio::awaitable<void> inject(fault_place where, const fault& what);
    /// Writes at `where` once for each number of bytes after which its reply can be cut, until one
    /// arrives whole, and checks what each writer was told. Every other cut is a reset.
    asio::awaitable<void> cut_everywhere(fault_place where);
    /// Checks that all is well after faults: the proxy heals, the pool works, nothing is lent or
    /// waited for, what is closed has ended everywhere, and the ledger is true.
    ///
    /// Closes the pool. Returns how many rows there are.
    asio::awaitable<std::size_t> judge();
    /// Appends a row to the fault report, after `judge`.
    void report(const fault& what, std::string_view where) const;

    fault_proxy& proxy() { return *proxy_; }
    bitdotio::pool& pool() { return pool_; }
    ledger& book() { return book_; }
    bitdotio::connection& direct() { return direct_; }
    const bitdotio::connect_options& options() const { return options_; }

    std::chrono::milliseconds acquire_timeout() const { return *limits_.acquire_timeout; }
    /// How many connections of the pool the server has.
    asio::awaitable<std::size_t> backends();
    /// How long an operation may take until its waiter is told.
    std::chrono::milliseconds patience() const;

private:
    using keys = std::vector<ledger::key>;
    using failure = std::optional<bitdotio::error>;
    using arming = std::function<asio::awaitable<void>()>;

    keys open_keys(fault_place where);
    asio::awaitable<bool> cut_reply(fault_place where, std::size_t bytes);
    asio::awaitable<failure> write(fault_place where, const keys& written, arming& arm);
    asio::awaitable<failure> write_pipeline(bool each, const keys& written, arming& arm);
    asio::awaitable<failure> write_in_transaction(bool at_commit, const keys& written, arming& arm);
    asio::awaitable<failure> write_lease(const keys& written, arming& arm);
    asio::awaitable<failure> copy(bool at_end, const keys& written, arming& arm);
    asio::awaitable<void> read_stream(ledger::key written);
    asio::awaitable<void> copy_rows(bitdotio::connection& through, bool at_end, std::string lines,
                                    arming& arm);
    asio::awaitable<void> until_seen_dead();
    asio::awaitable<void> until_unused();

    const private_postgres& home_;
    std::shared_ptr<fault_proxy> proxy_;
    bitdotio::connect_options options_;
    bitdotio::pool_options limits_;
    bitdotio::pool pool_;
    bitdotio::connection direct_;
    ledger book_;
    figures measured_;
    bool keeps_connection_ = false;
};

/// A server without TLS for the arenas of a program.
private_postgres& shared_postgres();

/// Runs each fault at each place, on an proxied_pool of its own, and reports it.
void run_everywhere(const std::vector<fault>& faults, const std::vector<fault_place>& places,
                    std::chrono::milliseconds statement_timeout = std::chrono::seconds(2),
                    const private_postgres& home = shared_postgres());

/// Runs `work` against a running server; fails the test if a descriptor stays open.
void run_without_trace(const private_postgres& home, asio::awaitable<void> work);

}  // namespace test
