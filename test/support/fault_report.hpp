// What the fault suite measured, for the table in docs/reliability.md.
#pragma once

#include "support/ledger.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace test {

/// The figures of one fault at one place.
struct figures {
    std::size_t runs = 0;
    tally writes;
    std::size_t violations = 0;
    std::uint64_t retried = 0;  ///< statements sent again, provably not executed before
    std::chrono::milliseconds slowest{0};

    /// Adds another run of the same fault at the same place.
    figures& operator+=(const figures& other);
};

/// Appends a row to the file that BITDOTIO_FAULT_REPORT names, if it is set; test/reliability
/// makes a table of them.
///
/// Parameters: `fault` is its number in docs/reliability.md, 0 for a run of many faults; `place`
///     is what was under way.
/// Thread safety: any thread, any process: a row is written in one call.
void report(int fault, const std::string& name, const std::string& place, const figures& measured);

}  // namespace test
