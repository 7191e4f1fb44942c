// Begins a transaction on connections of a pool until one has it.
#pragma once

#include <bitdotio/transaction.hpp>
#include <bitdotio/transaction_options.hpp>

#include "base/deadline.hpp"
#include "pool/pool_core.hpp"

#include <boost/asio/awaitable.hpp>

#include <memory>
#include <source_location>

namespace bitdotio {

/// Begins a transaction: with its first statement where the options allow that.
///
/// Parameters: `until` limits waiting for a connection and BEGIN together.
/// Errors: those of pool::begin.
asio::awaitable<transaction> begin_on(std::shared_ptr<pool_core> core, transaction_options options,
                                      time_point until, std::source_location where);

}  // namespace bitdotio
