// A server with one database, and all that tests of the server do with them.
#pragma once

#include "support/api_calls.hpp"
#include "support/job_calls.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"
#include "support/wire_sessions.hpp"

#include <bitdotio/database_name.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace test {

/// For tests without coroutines of their own; tests of the library use `database`.
struct server_fixture {
    explicit server_fixture(bitdotio::local_server_options options = {},
                            std::string_view database = "db")
        : server(std::move(options)), name(server.create_database(database)) {}

    /// The first field of a statement's answer, from the Postgres endpoint.
    std::string ask(const std::string& sql) {
        return run(test::query_once(server, name.full(), sql));
    }
    /// The answer of the HTTP API to a statement.
    http_answer query(const std::string& sql) const { return api.query(name.full(), sql); }

    test_server server;
    bitdotio::database_name name;
    api_calls api{server};    ///< calls below /v2beta, with the first key
    job_calls calls{server};  ///< imports, exports and their files, with the first key
};

}  // namespace test
