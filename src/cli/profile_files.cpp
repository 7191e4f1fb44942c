// Where profiles are, and the file that says which one is used.
#include "cli/profile_files.hpp"

#include <bitdotio/error.hpp>

#include "base/ascii.hpp"
#include "service/profile.hpp"

#include <boost/json.hpp>

#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

namespace bitdotio::cli {

namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

fs::path settings_file() {
    const fs::path place = configuration_directory();
    return place.empty() ? place : place / "settings.json";
}

error no_place() {
    return error(errc::bad_input,
                 "there is no place for profiles: set HOME, XDG_CONFIG_HOME, or BITIO_PROFILE to a "
                 "file");
}

}  // namespace

bool names_file(std::string_view text) {
    return text.find('/') != std::string_view::npos || text.ends_with(".json");
}

fs::path usual_profile() {
    const char* const variable = std::getenv("BITIO_PROFILE");
    if (!variable || !*variable || names_file(variable)) return default_profile_file();
    for (const auto& [base, rest] : {std::pair("XDG_CONFIG_HOME", ""), {"HOME", ".config"}}) {
        const char* const there = std::getenv(base);
        if (there && *there) return fs::path(there) / rest / "bitdotio" / "profile.json";
    }
    return {};
}

fs::path configuration_directory() {
    const fs::path usual = usual_profile();
    return usual.empty() ? fs::path() : fs::absolute(usual).parent_path();
}

bool is_profile_name(std::string_view text) {
    return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
        return ascii::is_word(c) || c == '-';
    });
}

json::object profile_settings() {
    std::ifstream in(settings_file());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    boost::system::error_code failure;
    json::value read = json::parse(text, failure);
    return !failure && read.is_object() ? std::move(read.as_object()) : json::object();
}

void save_profile_settings(const json::object& changed) {
    const fs::path file = settings_file();
    if (file.empty()) throw no_place();
    std::error_code failure;
    fs::create_directories(file.parent_path(), failure);
    const fs::path beside = file.string() + "." + std::to_string(::getpid());
    errno = 0;
    std::ofstream out(beside);
    out << json::serialize(changed) << '\n';
    out.close();
    const int cause = errno;
    if (out) fs::rename(beside, file, failure);
    if (!out || failure) {
        std::error_code ignored;
        fs::remove(beside, ignored);
        throw error(errc::system_failed,
                    "cannot write " + file.string() + ": " +
                        (out ? failure.message() : std::string(std::strerror(cause))));
    }
}

std::string text_in(const json::object& from, std::string_view name) {
    const json::value* const found = from.if_contains(name);
    return found && found->is_string() ? std::string(found->as_string()) : std::string();
}

std::vector<profile_place> named_profiles() {
    std::vector<profile_place> all;
    if (configuration_directory().empty()) return all;
    std::error_code failure;
    for (const fs::directory_entry& each :
         fs::directory_iterator(configuration_directory() / "profiles", failure)) {
        if (each.path().extension() == ".json") {
            all.push_back({each.path().stem().string(), each.path()});
        }
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return all;
}

std::vector<profile_place> all_profiles() {
    std::vector<profile_place> all = named_profiles();
    std::error_code failure;
    if (const fs::path first = usual_profile(); fs::exists(first, failure)) {
        all.insert(all.begin(), {std::string(default_profile_name), first});
    }
    return all;
}

fs::path profile_file_of(const std::string& name) {
    if (configuration_directory().empty()) throw no_place();
    return configuration_directory() / "profiles" / (name + ".json");
}

profile_place profile_of_name(const std::string& text) {
    if (text == default_profile_name) return {text, usual_profile()};
    if (!is_profile_name(text)) {
        throw error(errc::bad_input,
                    "\"" + text +
                        "\" is not the name of a profile: letters, digits, \"_\" "
                        "and \"-\", at most 64; a file has a slash in it, such as ./" +
                        text);
    }
    return {text, profile_file_of(text)};
}

}  // namespace bitdotio::cli
