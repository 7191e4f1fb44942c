// Chooses a profile, and tells which servers live.
#include "cli/profiles.hpp"

#include <bitdotio/database_name.hpp>
#include <bitdotio/error.hpp>

#include "base/ascii.hpp"
#include "cli/output.hpp"
#include "cli/profile_files.hpp"
#include "cli/row_writer.hpp"
#include "service/https_address.hpp"
#include "service/profile.hpp"

#include <boost/json.hpp>

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <system_error>
#include <utility>

namespace bitdotio::cli {

namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr int look_milliseconds = 500;

// Whether a profile is well formed and for its owner alone, or not there.
bool is_readable(const fs::path& file) {
    try {
        static_cast<void>(read_profile(file));
        return true;
    } catch (const error&) {
        return false;
    }
}

bool answers(const std::string& host, std::uint16_t port) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list) != 0) return false;
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(list, &::freeaddrinfo);
    for (const addrinfo* each = list; each; each = each->ai_next) {
        const int made = ::socket(each->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (made < 0) continue;
        bool connected = ::connect(made, each->ai_addr, each->ai_addrlen) == 0;
        if (!connected && errno == EINPROGRESS) {
            pollfd waiting{made, POLLOUT, 0};
            int failure = 0;
            socklen_t size = sizeof failure;
            connected = ::poll(&waiting, 1, look_milliseconds) == 1 &&
                        ::getsockopt(made, SOL_SOCKET, SO_ERROR, &failure, &size) == 0 &&
                        failure == 0;
        }
        ::close(made);
        if (connected) return true;
    }
    return false;
}

// The address of the API in a profile; empty where it cannot be read.
std::string address_of(const fs::path& file) {
    try {
        const auto read = read_profile(file);
        return read ? read->api_url : "";
    } catch (const error&) {
        return "";
    }
}

std::vector<profile_place> living_profiles() {
    std::vector<profile_place> living;
    for (const profile_place& each : all_profiles()) {
        if (is_alive(each.file)) living.push_back(each);
    }
    return living;
}

void list_profiles(const arguments& words) {
    const profile_place used = chosen_profile(words);
    json::array list;
    std::vector<std::vector<cell>> rows;
    for (const profile_place& each : all_profiles()) {
        std::string address;
        try {
            if (const auto read = read_profile(each.file)) address = read->api_url;
        } catch (const error& failure) {
            tell(std::string("bit: passed over: ") + failure.what());
            continue;
        }
        const bool alive = is_alive(each.file);
        list.push_back({{"name", each.name},
                        {"api_url", address},
                        {"alive", alive},
                        {"used", each.file == used.file},
                        {"database", default_database(each)},
                        {"file", each.file.string()}});
        rows.push_back({each.file == used.file ? "*" : "", each.name, address,
                        alive ? "lives" : "does not answer", default_database(each)});
    }
    if (wants_json(words)) {
        print_json(json::serialize(json::object{{"profiles", std::move(list)}}));
    } else {
        print_table(words,
                    {{"used", ""}, {"profile", ""}, {"API", ""}, {"server", ""}, {"database", ""}},
                    rows);
    }
}

// For shells, at each press of a key: quick, so no server is asked. Shells expand what they are
// given, so it is names alone.
void name_profiles(const arguments&) {
    std::string names;
    for (const profile_place& each : all_profiles()) {
        if (is_profile_name(each.name)) names += each.name + "\n";
    }
    print(names);
}

void use_profile(const arguments& words) {
    const std::string& wish = words.words()[0];
    json::object changed = profile_settings();
    if (wish.starts_with('/') || wish.starts_with('.') || wish.ends_with(".json")) {
        throw error(errc::bad_input,
                    "a profile is chosen by its name, which \"bit profile list\" shows; for a file "
                    "give --profile FILE, or set BITIO_PROFILE");
    }
    if (wish.find('/') != std::string::npos) {
        const database_name database(wish);
        json::object chosen;
        if (const json::value* had = changed.if_contains("databases"); had && had->is_object()) {
            chosen = had->as_object();
        }
        chosen[chosen_profile(words).file.string()] = database.full();
        changed["databases"] = std::move(chosen);
        save_profile_settings(changed);
        print("using the database " + database.full() + " where -d is left out\n");
        return;
    }
    const profile_place place = profile_of_name(wish);
    if (!fs::exists(place.file)) {
        throw error(errc::bad_input, "there is no profile \"" + place.name +
                                         "\"; \"bit profile list\" shows those there are");
    }
    changed["profile"] = place.name;
    save_profile_settings(changed);
    print("using the profile " + place.name + "\n");
    if (!is_alive(place.file)) {
        tell("bit: its server does not answer" +
             (address_of(place.file).empty() ? "" : " at " + address_of(place.file)));
    }
    if (std::getenv("BITIO_PROFILE")) tell("bit: BITIO_PROFILE is set, and goes first");
}

void show_profile(const arguments& words) {
    const profile_place place =
        words.words().empty() ? chosen_profile(words) : profile_named(words.words()[0]);
    const auto read = read_profile(place.file);
    if (!read) {
        throw error(errc::bad_input, "there is no profile " + place.file.string() +
                                         "; \"bit serve\" writes one when it starts");
    }
    print_json(json::serialize(json::object{{"name", place.name},
                                            {"file", place.file.string()},
                                            {"api_url", read->api_url},
                                            {"postgres_host", read->postgres_host},
                                            {"postgres_port", read->postgres_port},
                                            {"ca_file", read->ca_file},
                                            {"key", read->key.empty() ? "" : "v2_…"},
                                            {"database", default_database(place)},
                                            {"alive", is_alive(place.file)}}));
}

}  // namespace

profile_place profile_named(const std::string& text) {
    if (names_file(text)) {
        const bool usual = fs::path(text) == usual_profile();
        return {usual ? std::string(default_profile_name) : fs::path(text).stem().string(), text};
    }
    return profile_of_name(text);
}

profile_place chosen_profile(const arguments& words, bool telling) {
    if (const auto named = words.get(profile_option_name)) return profile_named(*named);
    const std::string kept = text_in(profile_settings(), "profile");
    if (is_profile_name(kept)) return profile_of_name(kept);
    const profile_place place{std::string(default_profile_name), usual_profile()};
    // Where the variable says which server it is, none is looked for.
    const char* const address = std::getenv("BITIO_API_URL");
    if ((address && *address) || named_profiles().empty() || is_alive(place.file)) return place;
    if (!is_readable(place.file)) return place;  // what is wrong with it will be told
    const std::vector<profile_place> living = living_profiles();
    if (living.size() != 1) return place;
    if (telling) {
        tell("bit: no server answers of the profile \"" + place.name + "\"; using \"" +
             living[0].name + "\" at " + address_of(living[0].file) +
             ", the only one that lives; \"bit profile use NAME\" chooses one for good");
    }
    return living[0];
}

bool is_in_profile(const profile_place& where, const std::string& api_url) {
    return address_of(where.file) == api_url;
}

std::string advice_about(const profile_place& where) {
    if (configuration_directory().empty()) return "";
    const bool ours =
        where.name == default_profile_name || where.file == profile_file_of(where.name);
    std::error_code unknown;
    if (!ours || !fs::exists(where.file, unknown) || is_alive(where.file)) return "";
    std::string others;
    for (const profile_place& each : living_profiles())
        others += (others.empty() ? "" : ", ") + each.name;
    return "; the server of the profile \"" + where.name + "\" does not run" +
           (others.empty() ? ": start it with \"bit serve\""
                           : ", those of other profiles do (" + others +
                                 "): choose one with --profile NAME or \"bit profile use NAME\"");
}

std::string default_database(const profile_place& where) {
    const json::object read = profile_settings();
    const json::value* const all = read.if_contains("databases");
    return all && all->is_object() ? text_in(all->as_object(), where.file.string()) : std::string();
}

bool is_alive(const fs::path& file) {
    try {
        const auto read = read_profile(file);
        if (!read || read->api_url.empty()) return false;
        const https_address address = https_address::parse(read->api_url);
        return answers(address.host, address.port);
    } catch (const error&) {
        return false;
    }
}

fs::path profile_for_server(const std::string& name, const std::string& fallback) {
    if (!name.empty()) {
        const profile_place wanted = profile_named(name);
        if (!is_alive(wanted.file)) return wanted.file;
        throw error(errc::bad_input,
                    "the profile \"" + wanted.name + "\" is that of the server that runs at " +
                        address_of(wanted.file) + ": stop it, or give another --name");
    }
    const fs::path usual = usual_profile();
    if (usual.empty() || !is_alive(usual)) return usual;
    std::string own = fallback;
    std::replace_if(
        own.begin(), own.end(), [](char c) { return !ascii::is_word(c) && c != '-'; }, '-');
    own.resize(std::min<std::size_t>(own.size(), 50));
    if (!is_profile_name(own) || own == default_profile_name) own = "server";
    fs::path place = profile_named(own).file;
    if (is_alive(place)) place = profile_named(own + "-" + std::to_string(::getpid())).file;
    return place;
}

std::vector<command> profile_commands() {
    return {{"profile list",
             "",
             "List the profiles, and which of their servers live.",
             {},
             {},
             &list_profiles},
            {"profile use",
             "",
             "Use a profile from now on, or a database of it where -d is left out.",
             {},
             {"NAME|DB"},
             &use_profile},
            {"profile show",
             "",
             "Show what a profile holds, but for the key.",
             {},
             {"[NAME]"},
             &show_profile},
            {"profile names",
             "",
             "Print the names of the profiles, for completions.",
             {},
             {},
             &name_profiles,
             true}};
}

}  // namespace bitdotio::cli
