// Words that no text of the library may contain: the passwords and keys that fixtures use.
#pragma once

#include <bitdotio/error.hpp>

#include <string>

namespace test {

/// Registers a new password or key; it is looked for from then on.
///
/// Thread safety: any thread.
void keep_secret(const std::string& word);

/// Fails the test if any text of an error contains a secret. `record` checks every error of a
/// write.
void expect_discreet(const bitdotio::error& failure);
/// The same for notices of the server: a function for connect_options::on_notice.
void expect_discreet_notice(const bitdotio::server_message& notice);

}  // namespace test
