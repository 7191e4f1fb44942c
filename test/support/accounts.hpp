// Service accounts of a test's server, with the keys they call with.
#pragma once

#include "support/api_calls.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"

#include <bitdotio/database_name.hpp>

#include <string>
#include <vector>

namespace test {

struct account {
    std::string id;
    std::string key;
};

/// Makes an account with a role in one database, and its first key.
inline account make_account(test_server& server, bitdotio::role what,
                            const bitdotio::database_name& database) {
    static int count = 0;
    std::vector<bitdotio::database_name> databases{database};
    const auto made = run(server.server().create_account("robot-" + std::to_string(++count), what,
                                                         std::move(databases)));
    const http_answer answer =
        api_calls(server)("POST", "/service-account/" + made.id + "/api-key/");
    if (answer.status != 200) throw std::runtime_error("no key was made: " + answer.body);
    return {made.id, field_of(answer, "api_key")};
}

}  // namespace test
