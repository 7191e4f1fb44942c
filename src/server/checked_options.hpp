// The options of a server, held to what can be.
#pragma once

#include <bitdotio/local_server.hpp>

namespace bitdotio {

/// The same with times that the clock can count: the longest mean "never".
local_server_options bounded(local_server_options options);

/// Errors: errc::bad_input naming the option.
void check(const local_server_options& options);

}  // namespace bitdotio
