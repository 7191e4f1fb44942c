// Profiles by name: where they are, which one is chosen, and which servers live.
#pragma once

#include "cli/arguments.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace bitdotio::cli {

/// The program's option that names a profile.
inline constexpr const char* profile_option_name = "--profile";

/// A profile's file and its name: "default", or that of a file in the directory "profiles" beside
/// the default one.
struct profile_place {
    std::string name;
    std::filesystem::path file;
};

/// The profile that `text` names, or the file if it is one.
///
/// Errors: errc::bad_input for a name with characters that names do not have.
profile_place profile_named(const std::string& text);

/// The profile of a call: that of --profile or BITIO_PROFILE, else the one "profile use" chose,
/// else the default one; where no server of that lives, and just one of another lives, that one,
/// which is told where `telling`: once for a call that asks several times.
profile_place chosen_profile(const arguments& words, bool telling = true);

/// The database that "profile use" chose for a profile; empty for none.
std::string default_database(const profile_place& where);

/// Whether somebody listens at the address of a profile's API. Waits a moment at most.
bool is_alive(const std::filesystem::path& file);

/// Where a server that starts writes its profile: not where another one lives.
///
/// Parameters: `name` is what --name gives, empty for none; `fallback` names it otherwise.
std::filesystem::path profile_for_server(const std::string& name, const std::string& fallback);

/// The commands "profile …".
std::vector<command> profile_commands();

}  // namespace bitdotio::cli
