// Profiles by name: where they are, which one is chosen, and which servers live.
#pragma once

#include "cli/arguments.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio::cli {

/// The program's option that names a profile.
inline constexpr const char* profile_option_name = "--profile";

/// The name of the profile that is used where none is chosen.
inline constexpr std::string_view default_profile_name = "default";

/// A profile's file and its name: "default", or that of a file in the directory "profiles" beside
/// the default one.
struct profile_place {
    std::string name;
    std::filesystem::path file;
};

/// The profile that `text` names; with a slash, or ".json" at its end, it is a file.
///
/// Errors: errc::bad_input for a name with characters that names do not have.
profile_place profile_named(const std::string& text);

/// The profile of a call: that of --profile or BITIO_PROFILE, else the one "profile use" chose,
/// whether its server lives or not; else the default one. Where nobody has chosen, no server of the
/// default one lives and just one of another does, it is that one, which is told where `telling`:
/// once for a call that asks several times.
profile_place chosen_profile(const arguments& words, bool telling = true);

/// The database that "profile use" chose for a profile; empty for none.
std::string default_database(const profile_place& where);

/// Whether somebody listens at the address of a profile's API. Waits a moment at most.
bool is_alive(const std::filesystem::path& file);

/// Whether the profile has this address of the API.
bool is_in_profile(const profile_place& where, const std::string& api_url);

/// What can be done about a profile whose server does not answer, for the end of a message: empty
/// for one that is a file of the user's own, whose server answers, or which is not there.
std::string advice_about(const profile_place& where);

/// Where a server that starts writes its profile: not where another one lives.
///
/// Parameters: `name` is what --name gives, empty for none; `fallback` names it otherwise.
std::filesystem::path profile_for_server(const std::string& name, const std::string& fallback);

/// The commands "profile …".
std::vector<command> profile_commands();

}  // namespace bitdotio::cli
