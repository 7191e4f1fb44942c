// Writes to the ledger at each place of the catalogue, acquire included.
#pragma once

#include "fault/catalogue.hpp"
#include "support/ledger.hpp"

#include <bitdotio/error.hpp>
#include <bitdotio/pool.hpp>

#include <boost/asio/awaitable.hpp>

#include <optional>
#include <vector>

namespace test {

namespace asio = boost::asio;

/// Writes keys, including the acquire: by COPY on a connection on loan, by a stream of a
/// statement's rows. Awaited in place.
asio::awaitable<void> insert_by_copy(bitdotio::pool from, const std::vector<ledger::key>& keys);
asio::awaitable<void> insert_by_stream(bitdotio::pool from, ledger::key key);
/// Writes once at a place, including the acquire, see `record`. Awaited in place.
asio::awaitable<std::optional<bitdotio::error>> write_at(fault_place where, bitdotio::pool from,
                                                         ledger& book);

}  // namespace test
