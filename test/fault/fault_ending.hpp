// What became of a client that met a fault, what the contract says of it, and the sum of many.
#pragma once

#include "fault/catalogue.hpp"
#include "support/fault_report.hpp"
#include "support/ledger.hpp"

#include <bitdotio/error.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace test {

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

/// What the contract says of a client without an answer: the deadlines end it, and the outcome is
/// unknown, except for a transaction before COMMIT.
///
/// Parameters: `limit` is how long it may have taken.
void expect_silence(const fault_ending& end, std::chrono::milliseconds limit);

/// What the contract says of a client whose connection is lost: at rest it is replaced silently, or
/// the client learns that nothing was sent; under way nothing is proved.
void expect_loss(const fault_ending& end, moment when);

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
