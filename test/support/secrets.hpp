// Words that no text of the library may hold: the passwords and keys that fixtures hand out.
#pragma once

#include <bitdotio/error.hpp>

#include <string>

namespace test {

/// Whoever makes a password or a key says so here; it is looked for from then on.
///
/// Thread safety: any thread.
void keep_secret(const std::string& word);

/// Fails the test if an error tells a secret, in whichever of its texts. `record` asks this of
/// every error a write ends with.
void expect_discreet(const bitdotio::error& failure);
/// The same for what the server remarked: a function for connect_options::on_notice.
void expect_discreet_notice(const bitdotio::server_message& notice);

}  // namespace test
