// Finds PostgreSQL's programs, and makes the template that all databases are cloned from.
#pragma once

#include "server/instances/process.hpp"

#include <boost/asio/awaitable.hpp>

#include <filesystem>
#include <string>

namespace bitdotio {

/// Where the programs are.
struct postgres_programs {
    postgres_programs() = default;

    std::filesystem::path initdb;
    std::filesystem::path postgres;
    std::filesystem::path resetwal;
};

/// Writes the two files that say who may log in to instances, and as whom: accounts' roles, and
/// this process as the superuser. They are beside the databases, because one pair is for all. It
/// blocks.
///
/// Errors: errc::system_failed.
void write_login_rules(const std::filesystem::path& directory, const system_user& owner);
inline constexpr const char* login_rules_file = "pg_hba.conf";
inline constexpr const char* login_names_file = "pg_ident.conf";

/// Finds the programs in `directory`, or, if that is empty, the newest ones where distributions put
/// them and in PATH. It blocks.
///
/// Parameters: `version` is the major version that is needed; empty for any.
/// Errors: errc::system_failed naming the package to install; errc::bad_input if `directory` is
///     given and lacks them.
postgres_programs find_postgres_programs(const std::filesystem::path& directory,
                                         const std::string& version);

/// The major version a data directory was made with; empty if it is not one. It blocks.
std::string version_of(const std::filesystem::path& data_directory);

/// Makes the template: runs initdb, makes the role and the database of every instance, and removes
/// everything a clone need not copy.
///
/// Parameters: `directory` is made; it appears under this name only when it is complete.
/// Errors: errc::system_failed with the words of the program that failed.
asio::awaitable<void> make_template(postgres_programs programs, system_user run_as,
                                    std::filesystem::path directory);

/// Copies the template, sharing the disk's blocks if the file system can.
///
/// Parameters: `directory` is made; it appears under this name only when it is complete, and with
///     `durable` only when it would survive a loss of power.
/// Errors: errc::system_failed with the words of the program that failed.
asio::awaitable<void> clone_template(system_user run_as, std::filesystem::path from,
                                     std::filesystem::path directory, bool durable);

}  // namespace bitdotio
