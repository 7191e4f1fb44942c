// Service accounts of a test's server, with the keys they call with.
#pragma once

#include "support/api_calls.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"

#include <bitdotio/database_name.hpp>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace test {

struct account {
    std::string id;
    std::string key;
};

/// Makes an account with a role in some databases, and its first key.
///
/// Parameters: `name` is empty for one that no other account has.
inline account make_account(test_server& server, bitdotio::role what,
                            std::vector<bitdotio::database_name> databases, std::string name = "") {
    static int count = 0;
    if (name.empty()) name = "robot-" + std::to_string(++count);
    const auto made = run(server.server().create_account(name, what, std::move(databases)));
    const http_answer answer =
        api_calls(server)("POST", "/service-account/" + made.id + "/api-key/");
    if (answer.status != 200) throw std::runtime_error("no key was made: " + answer.body);
    return {made.id, field_of(answer, "api_key")};
}

}  // namespace test
