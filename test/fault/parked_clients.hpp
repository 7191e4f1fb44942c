// Clients that are parked at each place of the catalogue when a fault happens.
#pragma once

#include "fault/catalogue.hpp"
#include "fault/fault_ending.hpp"
#include "support/ledger.hpp"

#include <bitdotio/connect_options.hpp>
#include <bitdotio/pool.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <vector>

namespace test {

/// The places at which a client can be parked.
inline constexpr fault_place parked_places[] = {
    fault_place::query,    fault_place::lease,  fault_place::transaction, fault_place::commit,
    fault_place::copy_end, fault_place::stream, fault_place::pipeline};

/// What the clients' statements need in the database: the ledger, and a point at which they wait
/// for its holder. Run as the owner, once.
extern const char* const parking_schema;

/// Lets one client at each place come to its point, injects the fault when all are there, and
/// returns how each of them ended. Awaited in place.
///
/// Parameters: `direct` opens connections past the fault; one is opened before the fault, which
///     may break it. `inject` returns when the fault has happened.
/// Errors: std::runtime_error if the clients do not come to their points in 20 s.
asio::awaitable<std::vector<fault_ending>> play(
    bitdotio::pool from, ledger& book, const std::vector<fault_place>& places, moment when,
    const bitdotio::connect_options& direct, const std::function<asio::awaitable<void>()>& inject);

/// Runs blocking work, such as a fixture's verb, beside the executor.
asio::awaitable<void> elsewhere(std::function<void()> work);

}  // namespace test
