// The environment, the service file and the home directory, in libpq's order.
#include "postgres/connect_defaults.hpp"

#include "postgres/conninfo.hpp"
#include "postgres/conninfo_files.hpp"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

namespace bitdotio {

namespace {

namespace fs = std::filesystem;

// Where Debian's libpq has it; libpq does not say.
constexpr const char* system_directory = "/etc/postgresql-common";

std::string variable(const char* name) {
    const char* const value = std::getenv(name);
    return value ? value : "";
}

std::optional<std::string> contents(const fs::path& path) {
    std::error_code ignored;
    std::ifstream file(path, std::ios::binary);
    if (!fs::is_regular_file(path, ignored) || !file) {
        return std::nullopt;
    }
    return std::string(std::istreambuf_iterator<char>(file), {});
}

struct account {
    std::string name;
    std::string home;
};

account own_account() {
    account result;
    passwd entry;
    passwd* found = nullptr;
    std::array<char, 16'384> room;
    if (::getpwuid_r(::geteuid(), &entry, room.data(), room.size(), &found) == 0 && found) {
        result.name = found->pw_name;
        result.home = found->pw_dir;
    }
    if (const std::string home = variable("HOME"); !home.empty()) {
        result.home = home;
    }
    return result;
}

void look_up_service(conninfo& given, const std::string& home) {
    const auto named = given.find("service");
    const std::string service = named == given.end() ? variable("PGSERVICE") : named->second;
    if (service.empty()) {
        return;
    }
    const auto own_file = given.find("servicefile");
    std::string own = own_file == given.end() ? variable("PGSERVICEFILE") : own_file->second;
    const bool must_exist = !own.empty();
    if (own.empty() && !home.empty()) {
        own = home + "/.pg_service.conf";
    }
    const std::string system = variable("PGSYSCONFDIR");
    const std::string common =
        (system.empty() ? system_directory : system) + std::string("/pg_service.conf");
    const auto text = own.empty() ? std::nullopt : contents(own);
    if (!text && must_exist) {
        throw error(errc::bad_input, "cannot read the service file " + own);
    }
    bool found = text && add_service(given, *text, service, own);
    if (!found) {
        const auto shared = contents(common);
        found = shared && add_service(given, *shared, service, common);
    }
    if (!found) {
        throw error(errc::bad_input, "the service \"" + service + "\" is defined neither in " +
                                         (own.empty() ? "a file of your own" : own) + " nor in " +
                                         common);
    }
    given.erase("service");
    given.erase("servicefile");
}

void add_home_files(conninfo& given, const std::string& home) {
    if (home.empty()) {
        return;
    }
    given.emplace("passfile", home + "/.pgpass");
    std::error_code ignored;
    for (const auto& [keyword, name] :
         {std::pair("sslrootcert", "root.crt"), std::pair("sslcrl", "root.crl"),
          std::pair("sslcert", "postgresql.crt"), std::pair("sslkey", "postgresql.key")}) {
        const std::string path = home + "/.postgresql/" + name;
        if (fs::exists(path, ignored)) {
            given.emplace(keyword, path);
        }
    }
}

}  // namespace

connect_options connect_options::from_environment(std::string_view text) {
    conninfo given = parse_conninfo(text);
    const account self = own_account();
    look_up_service(given, self.home);
    add_environment(given, [](const char* name) -> const char* { return std::getenv(name); });
    add_home_files(given, self.home);
    if (!given.contains("hostaddr")) {
        given.emplace("host", default_socket_directory());
    }
    if (!given.contains("user") && self.name.empty()) {
        throw error(errc::bad_input,
                    "no user is named, and the system has no name for who runs this: set PGUSER");
    }
    given.emplace("user", self.name);
    given.emplace("dbname", given["user"]);
    connect_options options;
    apply_conninfo(given, options);
    return options;
}

password_file read_password_file(const std::string& path) {
    password_file result;
    struct stat found = {};
    if (::stat(path.c_str(), &found) != 0 || !S_ISREG(found.st_mode)) {
        return result;
    }
    if ((found.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        result.ignored =
            "the password file " + path + " was ignored because others may read it; chmod 0600 it";
        return result;
    }
    result.text = contents(path).value_or("");
    return result;
}

}  // namespace bitdotio
