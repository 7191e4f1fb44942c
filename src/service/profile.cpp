// Reads and writes profiles, and fills in client options from them.
#include "service/profile.hpp"

#include <bitdotio/client_options.hpp>
#include <bitdotio/error.hpp>

#include <boost/json.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

namespace bitdotio {

namespace json = boost::json;
namespace fs = std::filesystem;

namespace {

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

error malformed(const fs::path& file, const std::string& why) {
    return error(errc::bad_input, "the profile " + file.string() + " is malformed: " + why +
                                      "; remove it, or start `bit serve` to write a new one");
}

error failed(const std::string& what, const fs::path& file) {
    return error(errc::system_failed,
                 "cannot " + what + " " + file.string() + ": " + std::strerror(errno));
}

// Not std::filesystem's function, which gives directories the mode of the mask.
void make_directories(const fs::path& directory) {
    std::error_code ignored;
    if (directory.empty() || fs::exists(directory, ignored)) {
        return;
    }
    make_directories(directory.parent_path());
    if (::mkdir(directory.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
        throw failed("make the directory", directory);
    }
}

std::string string_field(const json::object& object, const char* name, const fs::path& file) {
    const json::value* value = object.if_contains(name);
    if (!value || value->is_null()) {
        return {};
    }
    if (!value->is_string()) {
        throw malformed(file, std::string("\"") + name + "\" must be a string");
    }
    return std::string(value->as_string());
}

std::uint16_t parse_port(const std::string& text) {
    std::uint16_t port = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (failure != std::errc() || end != text.data() + text.size() || port == 0) {
        throw error(errc::bad_input,
                    "BITIO_PG_PORT is \"" + text + "\"; it must be a number from 1 to 65535");
    }
    return port;
}

}  // namespace

fs::path default_profile_file() {
    if (const std::string named = environment("BITIO_PROFILE"); !named.empty()) {
        return named;
    }
    if (const std::string config = environment("XDG_CONFIG_HOME"); !config.empty()) {
        return fs::path(config) / "bitdotio" / "profile.json";
    }
    if (const std::string home = environment("HOME"); !home.empty()) {
        return fs::path(home) / ".config" / "bitdotio" / "profile.json";
    }
    return {};
}

std::optional<profile> read_profile(const fs::path& file) {
    std::ifstream in(file);
    if (!in) {
        return std::nullopt;
    }
    struct stat info {};
    if (::stat(file.c_str(), &info) == 0 && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        throw error(errc::bad_input, "the profile " + file.string() +
                                         " holds a key and may be read by others; run chmod 600 "
                                         "on it");
    }
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    boost::system::error_code failure;
    const json::value value = json::parse(text, failure);
    if (failure || !value.is_object()) {
        throw malformed(file, "it is not a JSON object");
    }
    const json::object& object = value.as_object();
    profile read;
    read.api_url = string_field(object, "api_url", file);
    read.postgres_host = string_field(object, "postgres_host", file);
    read.ca_file = string_field(object, "ca_file", file);
    read.key = string_field(object, "key", file);
    if (const json::value* port = object.if_contains("postgres_port"); port && !port->is_null()) {
        if (!port->is_int64() || port->as_int64() < 1 || port->as_int64() > 65535) {
            throw malformed(file, "\"postgres_port\" must be a number from 1 to 65535");
        }
        read.postgres_port = static_cast<std::uint16_t>(port->as_int64());
    }
    return read;
}

void write_profile(const fs::path& file, const profile& value) {
    json::object object;
    const auto put = [&](const char* name, const std::string& text) {
        if (!text.empty()) {
            object[name] = text;
        }
    };
    put("api_url", value.api_url);
    put("postgres_host", value.postgres_host);
    if (value.postgres_port != 0) {
        object["postgres_port"] = value.postgres_port;
    }
    put("ca_file", value.ca_file);
    put("key", value.key);
    const std::string content = json::serialize(object) + "\n";

    make_directories(file.parent_path());
    std::string temporary = file.string() + ".XXXXXX";
    const int descriptor = ::mkostemp(temporary.data(), O_CLOEXEC);  // mode 0600
    if (descriptor < 0) {
        throw failed("write", file);
    }
    const bool written = ::write(descriptor, content.data(), content.size()) ==
                             static_cast<ssize_t>(content.size()) &&
                         ::fsync(descriptor) == 0;
    ::close(descriptor);
    if (!written || ::rename(temporary.c_str(), file.c_str()) != 0) {
        const error failure = failed("write", file);
        ::unlink(temporary.c_str());
        throw failure;
    }
}

client_options client_options::resolved() const {
    client_options all = *this;
    const std::pair<const char*, const std::string&> texts[] = {{"api_url", api_url},
                                                                {"postgres_host", postgres_host},
                                                                {"ca_file", ca_file},
                                                                {"profile_file", profile_file},
                                                                {"user_agent", user_agent}};
    for (const auto& [name, value] : texts) {
        if (value.find('\0') != std::string::npos) {
            throw error(errc::bad_input,
                        std::string("client_options::") + name + " contains a zero byte");
        }
    }
    const auto fill = [](std::string& field, const std::string& value) {
        if (field.empty()) {
            field = value;
        }
    };
    if (const std::string key_text = environment("BITIO_KEY"); !all.key && !key_text.empty()) {
        all.key.emplace(key_text);
    }
    fill(all.api_url, environment("BITIO_API_URL"));
    fill(all.postgres_host, environment("BITIO_PG_HOST"));
    fill(all.ca_file, environment("BITIO_CA_FILE"));
    if (const std::string port = environment("BITIO_PG_PORT");
        all.postgres_port == 0 && !port.empty()) {
        all.postgres_port = parse_port(port);
    }

    const fs::path file = profile_file.empty() ? default_profile_file() : fs::path(profile_file);
    const bool complete = all.key && !all.api_url.empty() && !all.postgres_host.empty() &&
                          all.postgres_port != 0 && !all.ca_file.empty();
    if (!complete && !file.empty()) {
        if (const auto found = read_profile(file)) {
            // A key and an authority belong to their server: they are not used with an address that
            // came from elsewhere.
            const bool same_server =
                (all.api_url.empty() || all.api_url == found->api_url) &&
                (all.postgres_host.empty() || all.postgres_host == found->postgres_host) &&
                (all.postgres_port == 0 || all.postgres_port == found->postgres_port);
            if (same_server) {
                if (!all.key && !found->key.empty()) {
                    all.key.emplace(found->key);
                }
                fill(all.ca_file, found->ca_file);
                fill(all.api_url, found->api_url);
                fill(all.postgres_host, found->postgres_host);
                all.postgres_port = all.postgres_port ? all.postgres_port : found->postgres_port;
            }
        }
    }
    const std::string profile_hint =
        "; `bit serve` writes them all to a profile" +
        (file.empty() ? std::string() : ", looked for at " + file.string());
    if (!all.key) {
        throw error(errc::bad_input,
                    "no API key: pass one, or set the environment variable "
                    "BITIO_KEY" +
                        profile_hint);
    }
    if (all.api_url.empty()) {
        throw error(errc::bad_input,
                    "no address of the API: set client_options::api_url or the "
                    "environment variable BITIO_API_URL" +
                        profile_hint);
    }
    return all;
}

}  // namespace bitdotio
