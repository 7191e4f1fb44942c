// The service of a call: where it is, whose key is used, and the work that waits for it.
#pragma once

#include <bitdotio/client.hpp>
#include <bitdotio/error.hpp>

#include "cli/arguments.hpp"
#include "cli/profiles.hpp"
#include "service/profile.hpp"

#include <boost/asio/awaitable.hpp>

#include <functional>
#include <string>
#include <vector>

namespace bitdotio::cli {

/// The program's option for the key, which every command of the API reads.
inline constexpr const char* key_option = "--key";

/// "-d", which may be left out where a default database is known.
extern const option database_option;

struct service_place {
    client_options options;  ///< complete, but for the Postgres endpoint
    profile_place profile;
    std::string key_from;        ///< how the key was given, for people
    bool is_of_profile = false;  ///< its addresses are those of the profile
};

/// Looks up where the service is: words, environment, profile.
///
/// Errors: errc::bad_input in the command's own words.
service_place find_service(const arguments& words);

/// Reads a file that holds a secret, which others than its owner must not be able to read.
///
/// Errors: errc::bad_input naming the file.
std::string read_secret_file(const std::filesystem::path& file);

/// The key that such a file holds.
api_key key_in_file(const std::filesystem::path& file);

/// What BITIO_DATABASE names; empty for none.
std::string database_of_environment();

/// The database of a command: that of -d, or the word, else BITIO_DATABASE, else the one that
/// "profile use" chose.
///
/// Errors: errc::bad_input if there is none, or its name has another form.
database_name database_of(const arguments& words, const std::string& word = "");

/// Errors: errc::bad_input where the service's Postgres endpoint is unknown.
void require_postgres(const service_place& where);

using work = asio::awaitable<void>;
/// Runs work on an executor of its own until it ends. Ctrl-C cancels it, and what it runs at the
/// server; a second one ends the program at once.
///
/// Parameters: `afterwards` tells what goes on at the server even so, empty for nothing.
/// Errors: those of the work; `interruption` if Ctrl-C has ended it.
void run_work(const std::function<work(asio::any_io_executor)>& start,
              const std::function<std::string()>& afterwards = nullptr);

/// Runs work against a service: where that cannot be reached, its error tells what can be done
/// about the profile.
void run_at(const service_place& where, const std::function<work(asio::any_io_executor)>& start,
            const std::function<std::string()>& afterwards = nullptr);

/// Runs work with a client of the service, which is closed at its end.
void run_with_client(const arguments& words, const std::function<work(client)>& start,
                     const std::function<std::string()>& afterwards = nullptr);

/// The same with a service that was looked up before, such as to ask whether it is the right one.
void run_with_client(const service_place& where, const std::function<work(client)>& start,
                     const std::function<std::string()>& afterwards = nullptr);

/// Tells on standard error what --verbose shows.
void tell_more(const arguments& words, const std::string& line);

}  // namespace bitdotio::cli
