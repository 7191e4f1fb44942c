// The places at which a fault can meet a client, each played by a coroutine that stops there.
#pragma once

#include "support/fault_report.hpp"
#include "support/ledger.hpp"

#include <bitdotio/error.hpp>
#include <bitdotio/pool.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace test {

/// What a client does when the fault comes.
enum class spot {
    query,        ///< a statement of the pool
    lease,        ///< a statement on a connection on loan
    transaction,  ///< a statement inside a transaction
    commit,       ///< COMMIT
    pipeline,     ///< three statements in one trip, each for itself; the second is hit
    copy,         ///< COPY FROM STDIN, its rows sent and its end not, or not answered
    rows,         ///< a stream of rows, some of them read
};

inline constexpr spot all_spots[] = {spot::query, spot::lease, spot::transaction, spot::commit,
                                     spot::copy,  spot::rows,  spot::pipeline};

std::string_view to_string(spot where);

/// When the fault comes: before the client hands its next bytes over, the connection at rest; or
/// while the server executes them and has not answered.
enum class moment { resting, under_way };

inline std::string_view to_string(moment when) {
    return when == moment::resting ? "at rest" : "under way";
}

/// What became of one client.
struct ending_at {
    spot where = spot::query;
    std::optional<bitdotio::error> failure;
    /// Of a pipeline: what became of its statements.
    std::vector<std::optional<bitdotio::error>> statements;
    std::vector<ledger::key> keys;
    std::chrono::milliseconds took{0};  ///< from the fault to the end

    /// Whether it failed like this.
    bool failed(bitdotio::errc code, bitdotio::outcome known) const;
    /// For a failing test.
    std::string text() const;
};

/// What the statements of clients need in the database: the ledger, and a point at which they wait
/// for whoever holds it. Run as the owner, once.
extern const char* const spots_schema;

/// Lets one client at each of the places come to its point, strikes when all are there, and
/// returns how each of them ended. Awaited in place.
///
/// Parameters: `direct` opens connections past the fault; it is asked for one before the strike,
///     which may break it. `strike` returns when the fault has happened.
/// Errors: std::runtime_error if the clients do not come to their points in 20 s.
asio::awaitable<std::vector<ending_at>> play(bitdotio::pool from, ledger& book,
                                             const std::vector<spot>& places, moment when,
                                             const bitdotio::connect_options& direct,
                                             const std::function<asio::awaitable<void>()>& strike);

/// Writes keys from the pool's door on: by COPY on a connection on loan, by a stream of a
/// statement's rows. Awaited in place.
asio::awaitable<void> insert_by_copy(bitdotio::pool from, const std::vector<ledger::key>& keys);
asio::awaitable<void> insert_by_stream(bitdotio::pool from, ledger::key key);
/// Writes once at a place, from the pool's door on, see `record`. Awaited in place.
asio::awaitable<std::optional<bitdotio::error>> write_at(spot where, bitdotio::pool from,
                                                         ledger& book);

/// What the contract says of one to whom nobody answers: the deadlines end it, and the outcome is
/// unknown, but for a transaction before COMMIT.
///
/// Parameters: `limit` is how long it may have taken.
void expect_silence(const ending_at& end, std::chrono::milliseconds limit);

/// What the contract says of one whose connection is lost: at rest it is replaced silently, or the
/// client learns that nothing was sent; under way nothing is proved.
void expect_loss(const ending_at& end, moment when);

/// Runs what blocks, such as a fixture's verb, beside the executor.
asio::awaitable<void> elsewhere(std::function<void()> work);

/// Adds up what the runs of one fault showed, place by place, and reports it.
class spot_figures {
public:
    void add(const ending_at& end, const ledger& book);
    /// Parameters: `found` is the verdict over the whole book, `retried` the pool's count, which
    ///     is shown at the places whose statements it may run again.
    void report(int fault, const std::string& name, moment when, const verdict& found,
                std::uint64_t retried) const;

private:
    struct entry {
        spot where;
        figures measured;
        std::vector<ledger::key> keys;
    };
    std::vector<entry> entries_;
};

}  // namespace test
