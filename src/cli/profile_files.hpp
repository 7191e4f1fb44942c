// The files of profiles: where they are, how they are named, and what "profile use" has chosen.
#pragma once

#include "cli/profiles.hpp"

#include <boost/json/object.hpp>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio::cli {

/// Whether a profile is given as a file: with a slash, or ".json" at its end.
bool names_file(std::string_view text);
/// Whether a profile can have this name.
bool is_profile_name(std::string_view text);

/// The default profile; BITIO_PROFILE may be a name too. Empty where there is no place for it.
std::filesystem::path usual_profile();
/// The directory of the default profile. Empty where there is none: never the current one.
std::filesystem::path configuration_directory();
/// The file of a profile of this name.
///
/// Errors: errc::bad_input where there is no place for profiles.
std::filesystem::path profile_file_of(const std::string& name);
/// The profile of this name.
///
/// Errors: those of profile_file_of; errc::bad_input for a name with characters that names do not
///     have.
profile_place profile_of_name(const std::string& text);

/// The profiles that have a name, by their names.
std::vector<profile_place> named_profiles();
/// The same after the default one, if that is there.
std::vector<profile_place> all_profiles();

/// What "profile use" has chosen; empty where it is not to be read.
boost::json::object profile_settings();
/// Replaces that.
///
/// Errors: errc::system_failed; errc::bad_input where there is no place for it.
void save_profile_settings(const boost::json::object& changed);
/// The text of a field; empty if there is none.
std::string text_in(const boost::json::object& from, std::string_view name);

}  // namespace bitdotio::cli
