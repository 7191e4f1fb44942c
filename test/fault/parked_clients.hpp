// Clients that are parked at each place of the catalogue when a fault strikes.
#pragma once

#include "fault/catalogue.hpp"
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

/// The places at which a client can be parked.
inline constexpr fault_place parked_places[] = {
    fault_place::query,    fault_place::lease,  fault_place::transaction, fault_place::commit,
    fault_place::copy_end, fault_place::stream, fault_place::pipeline};

/// When the fault comes: before the client hands over its next bytes, with the connection at rest;
/// or while the server executes them and has not answered.
enum class moment { resting, under_way };

inline std::string_view to_string(moment when) {
    return when == moment::resting ? "at rest" : "under way";
}

/// What became of one client.
struct fault_ending {
    fault_place where = fault_place::query;
    std::optional<bitdotio::error> failure;
    /// Of a pipeline: what became of its statements.
    std::vector<std::optional<bitdotio::error>> statements;
    std::vector<ledger::key> keys;
    std::chrono::milliseconds took{0};  ///< from the fault to the end

    /// Whether it failed with this code and outcome.
    bool failed(bitdotio::errc code, bitdotio::outcome known) const;
    /// The ending in words, for a failing test.
    std::string text() const;
};

/// What the clients' statements need in the database: the ledger, and a point at which they wait
/// for its holder. Run as the owner, once.
extern const char* const parking_schema;

/// Lets one client at each place come to its point, strikes when all are there, and returns how
/// each of them ended. Awaited in place.
///
/// Parameters: `direct` opens connections past the fault; one is opened before the strike, which
///     may break it. `strike` returns when the fault has happened.
/// Errors: std::runtime_error if the clients do not come to their points in 20 s.
asio::awaitable<std::vector<fault_ending>> play(
    bitdotio::pool from, ledger& book, const std::vector<fault_place>& places, moment when,
    const bitdotio::connect_options& direct, const std::function<asio::awaitable<void>()>& strike);

/// Writes keys, including the acquire: by COPY on a connection on loan, by a stream of a
/// statement's rows. Awaited in place.
asio::awaitable<void> insert_by_copy(bitdotio::pool from, const std::vector<ledger::key>& keys);
asio::awaitable<void> insert_by_stream(bitdotio::pool from, ledger::key key);
/// Writes once at a place, including the acquire, see `record`. Awaited in place.
asio::awaitable<std::optional<bitdotio::error>> write_at(fault_place where, bitdotio::pool from,
                                                         ledger& book);

/// What the contract says of a client without an answer: the deadlines end it, and the outcome is
/// unknown, except for a transaction before COMMIT.
///
/// Parameters: `limit` is how long it may have taken.
void expect_silence(const fault_ending& end, std::chrono::milliseconds limit);

/// What the contract says of a client whose connection is lost: at rest it is replaced silently, or
/// the client learns that nothing was sent; under way nothing is proved.
void expect_loss(const fault_ending& end, moment when);

/// Runs blocking work, such as a fixture's verb, beside the executor.
asio::awaitable<void> elsewhere(std::function<void()> work);

/// Adds up what the runs of one fault showed, place by place, and reports it.
class place_figures {
public:
    void add(const fault_ending& end, const ledger& book);
    /// Parameters: `found` is the verdict over the whole ledger, `retried` the pool's count, which
    ///     is shown at the places whose statements it may run again.
    void report(int fault, const std::string& name, moment when, const verdict& found,
                std::uint64_t retried) const;

private:
    struct entry {
        fault_place where;
        figures measured;
        std::vector<ledger::key> keys;
    };
    std::vector<entry> entries_;
};

}  // namespace test
