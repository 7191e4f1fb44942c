// Connection strings, and what else names libpq's parameters, as the options they mean.
#pragma once

#include <bitdotio/connect_options.hpp>

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace bitdotio {

/// Values by libpq's keywords.
using conninfo = std::map<std::string, std::string>;

/// What a connection string says, read by libpq itself. Empty values are left out, as they mean
/// the default.
///
/// Errors: errc::bad_input naming an unknown keyword, never quoting a value.
conninfo parse_conninfo(std::string_view text);

/// Adds what libpq's environment variables say of the keywords that have no value yet. PGSERVICE
/// and PGCLIENTENCODING are left out.
///
/// Parameters: `look_up` returns a variable's value, or null.
void add_environment(conninfo& given, const std::function<const char*(const char*)>& look_up);

/// libpq's own defaults of those keywords whose variable is set: given to it, they keep it from
/// looking there by itself. Keywords without a default are left out.
conninfo defaults_despite(const std::function<const char*(const char*)>& look_up);

/// Sets the options the keywords stand for; those without an option of their own become
/// connect_options::extra_parameters.
///
/// Errors: errc::bad_input naming keyword and value.
void apply_conninfo(const conninfo& given, connect_options& options);

/// What separates words, as C's isspace has it, whatever the locale.
bool is_blank(char c);

/// Without the blanks around it.
std::string_view trimmed(std::string_view text);

bool is_libpq_keyword(std::string_view keyword);

/// Where the server's Unix socket is if nobody says otherwise.
std::string default_socket_directory();

/// Whether a host is the directory of a Unix socket, or a name in Linux's abstract space.
bool is_unix_socket(std::string_view host);

}  // namespace bitdotio
