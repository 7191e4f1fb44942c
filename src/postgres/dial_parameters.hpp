// Connect options as libpq's parameters.
#pragma once

#include <bitdotio/connect_options.hpp>

#include <string>
#include <utility>
#include <vector>

namespace bitdotio {

/// libpq's connection parameters, in the order they are given.
using libpq_parameters = std::vector<std::pair<std::string, std::string>>;

/// Errors: errc::bad_input naming the option that cannot be.
void check(const connect_options& options);

/// What libpq is told for one try at one address. As far as it lets us, nothing of the environment
/// or the home directory gets in between.
///
/// Parameters: `numeric` is the IP address of `target`, empty for a Unix socket.
libpq_parameters dial_parameters(const connect_options& options, const host_port& target,
                                 const std::string& numeric, const std::string& password);

}  // namespace bitdotio
