// What the lines of libpq's service file and password file say.
#pragma once

#include "postgres/conninfo.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace bitdotio {

/// Adds what the entry `service` of a service file says of the keywords that have no value yet.
/// Returns whether there is such an entry.
///
/// Parameters: `text` is what stands in the file, `name` how to call it in errors.
/// Errors: errc::bad_input naming file and line of what is malformed in the entry.
/// See: PostgreSQL manual, 34.17 "The Connection Service File".
bool add_service(conninfo& given, std::string_view text, std::string_view service,
                 const std::string& name);

/// The password that a password file has for a connection, if any: that of the first line that
/// matches.
///
/// Parameters: `host` as its user named it; the default directory of Unix sockets counts as
///     "localhost", as in libpq.
/// See: PostgreSQL manual, 34.16 "The Password File".
std::optional<std::string> password_in(std::string_view text, std::string_view host,
                                       std::string_view port, std::string_view database,
                                       std::string_view user);

}  // namespace bitdotio
