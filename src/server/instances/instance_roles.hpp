// The roles of an instance: the groups that have rights, and one role for each account.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

/// Names and SQL of an instance's roles.
///
/// The groups are named after session_roles; nobody logs in as them. `owner` owns the database and
/// what is in it; default privileges give `writer`, `reader` and `limited` what owners and writers
/// make. An account has a role of its own for each kind of session it was let in with, a member of
/// the group: so what it does to its role (ALTER ROLE … SET, PASSWORD) is its own matter, and it
/// sees and ends its own sessions alone.
///
/// Roles of the kinds owner and admin do not inherit: they act as `owner` by SET ROLE, with which
/// sessions begin, and can neither take over what `owner` has nor make anything without it. What
/// they come to own nevertheless, by rights that were granted to them, an event trigger gives to
/// `owner` at once. Another one keeps DROP OWNED from members of the groups, who could take the
/// default privileges from their group with it. Both belong to the superuser and to the extension
/// plpgsql, so that pg_dump leaves them out.
///
/// All statements are for the superuser, with pg_catalog as the only search_path.
namespace instance_roles {

/// The superuser, to whom no key leads.
inline constexpr const char* superuser = "postgres";

/// Stands for the server's own work, where an account's id would.
inline constexpr std::string_view no_account = "server";

/// The statements, a line each, that make the groups and triggers in the database, or bring those
/// of an older server up to date.
std::vector<std::string> layout();

/// Finds what differs from how it should be: rows of words and the statement that puts it right,
/// or no statement if `layout` does. Then finds the accounts' roles, in a second result.
///
/// Parameters: `thorough` also looks for what an owner may have meant: all settings of the
///     database, and missing default privileges.
std::string find_faults(bool thorough);

/// The account's role for a kind of session.
///
/// Parameters: `account` is an id, a UUID's text; empty for the server's own work.
/// Errors: errc::bad_input for another text.
std::string account_role(std::string_view kind, std::string_view account);
/// The account's id in the name of a role, without hyphens.
std::string account_of(std::string_view role);

std::string make_account_role(std::string_view kind, const std::string& role);
/// What the role owns becomes the owner's.
std::string drop_account_role(const std::string& role);

/// The settings that a session of this kind begins with, as session_target::options.
std::string settings(std::string_view kind, std::chrono::milliseconds idle,
                     std::chrono::milliseconds idle_in_transaction);

/// Matches, as a regular expression, the names of accounts' roles of these kinds.
std::string pattern(const std::vector<std::string>& kinds);

}  // namespace instance_roles

}  // namespace bitdotio
