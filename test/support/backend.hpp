// A PostgreSQL that serves as the backend of a server, and the options of that server.
#pragma once

#include "support/postgres_cluster.hpp"
#include "support/test_server.hpp"

#include <string>

namespace test {

/// The connection string of a role that may make databases and roles, and nothing else.
inline std::string backend_of(const std::string& hosts, const std::string& ports,
                              const postgres_server& postgres) {
    return "host=" + hosts + " port=" + ports + " user=service password='" +
           postgres_server::password() +
           "' dbname=tests sslmode=verify-full sslrootcert=" + postgres.tls().ca_file.string();
}

inline std::string backend_of(const postgres_server& postgres) {
    return backend_of("127.0.0.1", std::to_string(postgres.port()), postgres);
}

inline void make_service(postgres_server& postgres) {
    postgres.execute("CREATE ROLE service LOGIN CREATEDB CREATEROLE PASSWORD '" +
                     postgres_server::password() + "'");
}

inline bitdotio::local_server_options with_backend(const std::string& conninfo) {
    bitdotio::local_server_options options;
    options.backend = conninfo;
    return options;
}

}  // namespace test
