// libpq reads the strings, tables say what its keywords mean to us.
#include "postgres/conninfo.hpp"

#include "base/ascii.hpp"
#include "postgres/libpq.hpp"

#include <pg_config_manual.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <utility>
#include <vector>

namespace bitdotio {

namespace {

struct free_options {
    void operator()(PQconninfoOption* list) const noexcept { PQconninfoFree(list); }
};
using option_list = std::unique_ptr<PQconninfoOption, free_options>;

bool is_keyword(std::string_view word) {
    return !word.empty() && std::all_of(word.begin(), word.end(), ascii::is_word);
}

// Whether "word=" stands in the text, so that it is a keyword there and no part of a value.
bool is_assigned(std::string_view text, std::string_view word) {
    for (std::size_t at = text.find(word); at != std::string_view::npos;
         at = text.find(word, at + 1)) {
        const std::string_view rest = trimmed(text.substr(at + word.size()));
        const bool begins =
            at == 0 || is_blank(text[at - 1]) || text[at - 1] == '?' || text[at - 1] == '&';
        if (begins && rest.starts_with('=')) {
            return true;
        }
    }
    return false;
}

// libpq quotes what it could not read, and that may be a password, or the whole of a URI.
error unreadable_string(std::string_view text, const char* words) {
    const std::string complaint = words ? words : "out of memory";
    const std::size_t first = complaint.find('"');
    const std::size_t last = complaint.rfind('"');
    std::string reason(trimmed(complaint));
    if (first != last) {
        const std::string quoted = complaint.substr(first + 1, last - first - 1);
        if (is_keyword(quoted) && is_assigned(text, quoted)) {
            return error(errc::bad_input,
                         "the connection string has a keyword that libpq does "
                         "not know: \"" +
                             quoted + "\"");
        }
        reason = std::string(trimmed(complaint.substr(0, first))) + " \"…\"";
    }
    return error(errc::bad_input,
                 "the connection string is neither \"keyword=value …\" nor "
                 "\"postgresql://user@host/database?keyword=value\": " +
                     reason);
}

error not_a_value(std::string_view keyword, std::string_view value, std::string_view right) {
    return error(errc::bad_input, std::string(keyword) + " is \"" + std::string(value) +
                                      "\", which is not " + std::string(right));
}

template <class Number>
Number number(std::string_view keyword, std::string_view value, std::string_view right) {
    Number result{};
    const std::string_view digits = trimmed(value);
    const char* const end = digits.data() + digits.size();
    const auto [stop, failure] = std::from_chars(digits.data(), end, result);
    if (failure != std::errc() || stop != end) {
        throw not_a_value(keyword, value, right);
    }
    return result;
}

template <class Enum>
using words = std::initializer_list<std::pair<std::string_view, Enum>>;

template <class Enum>
Enum one_of(std::string_view keyword, std::string_view value, words<Enum> table) {
    std::string right = "one of";
    for (const auto& [word, meaning] : table) {
        if (word == value) {
            return meaning;
        }
        right += " " + std::string(word);
    }
    throw not_a_value(keyword, value, right);
}

std::vector<std::string> split(const std::string& list) {
    std::vector<std::string> items(1);
    for (const char c : list) {
        if (c == ',') {
            items.emplace_back();
        } else {
            items.back() += c;
        }
    }
    return items;
}

std::string value_of(const conninfo& given, const char* keyword) {
    const auto found = given.find(keyword);
    return found == given.end() ? "" : found->second;
}

// The three lists of one walk: as many addresses as hosts, and a port for each or one for all.
std::vector<host_port> hosts_of(const conninfo& given) {
    const bool named = given.contains("host");
    const bool numeric = given.contains("hostaddr");
    const std::vector<std::string> hosts = split(value_of(given, "host"));
    const std::vector<std::string> addresses = split(value_of(given, "hostaddr"));
    const std::vector<std::string> ports = split(value_of(given, "port"));
    const std::size_t count = numeric ? addresses.size() : hosts.size();
    if (named && numeric && hosts.size() != addresses.size()) {
        throw error(errc::bad_input, "host names " + std::to_string(hosts.size()) +
                                         " hosts and hostaddr " + std::to_string(addresses.size()) +
                                         "; it must be as many");
    }
    if (ports.size() != 1 && ports.size() != count) {
        throw error(errc::bad_input, "port names " + std::to_string(ports.size()) + " ports for " +
                                         std::to_string(count) + " hosts; name one or as many");
    }
    std::vector<host_port> result(count);
    for (std::size_t i = 0; i < count; ++i) {
        host_port& one = result[i];
        const std::string& port = ports.size() == 1 ? ports[0] : ports[i];
        one.host = named ? hosts[i] : "";
        one.address = numeric ? addresses[i] : "";
        if (one.host.empty() && one.address.empty()) {
            one.host = default_socket_directory();
        }
        if (!port.empty()) {
            one.port = number<std::uint16_t>("port", port, "a number from 1 to 65535");
        }
        if (one.port == 0) {
            throw not_a_value("port", port, "a number from 1 to 65535");
        }
    }
    return result;
}

std::chrono::milliseconds connect_timeout_of(std::string_view value) {
    const int seconds = number<int>("connect_timeout", value, "a number of seconds");
    // To libpq nothing and less mean for ever.
    return seconds <= 0 ? std::chrono::hours(24) : std::chrono::seconds(seconds);
}

using setter = void (*)(connect_options&, const std::string&);

const std::map<std::string_view, setter>& setters() {
    static const std::map<std::string_view, setter> table{
        {"user", [](connect_options& o, const std::string& v) { o.user = v; }},
        {"password", [](connect_options& o, const std::string& v) { o.password = v; }},
        {"passfile", [](connect_options& o, const std::string& v) { o.password_file = v; }},
        {"dbname", [](connect_options& o, const std::string& v) { o.database = v; }},
        {"application_name",
         [](connect_options& o, const std::string& v) { o.application_name = v; }},
        {"options", [](connect_options& o, const std::string& v) { o.options = v; }},
        {"sslrootcert",  // "system" has the meaning of our default
         [](connect_options& o, const std::string& v) { o.ca_file = v == "system" ? "" : v; }},
        {"sslcrl", [](connect_options& o, const std::string& v) { o.crl_file = v; }},
        {"sslcert", [](connect_options& o, const std::string& v) { o.certificate_file = v; }},
        {"sslkey", [](connect_options& o, const std::string& v) { o.key_file = v; }},
        {"sslpassword", [](connect_options& o, const std::string& v) { o.key_password = v; }},
        {"connect_timeout",
         [](connect_options& o, const std::string& v) {
             o.connect_timeout = connect_timeout_of(v);
         }},
        {"sslmode",
         [](connect_options& o, const std::string& v) {
             o.tls = one_of<tls_mode>("sslmode", v,
                                      {{"disable", tls_mode::disable},
                                       {"allow", tls_mode::allow},
                                       {"prefer", tls_mode::prefer},
                                       {"require", tls_mode::require},
                                       {"verify-ca", tls_mode::verify_ca},
                                       {"verify-full", tls_mode::verify_full}});
         }},
        {"ssl_min_protocol_version",
         [](connect_options& o, const std::string& v) {
             o.min_tls_version = one_of<tls_version>("ssl_min_protocol_version", ascii::to_lower(v),
                                                     {{"tlsv1", tls_version::v1_0},
                                                      {"tlsv1.1", tls_version::v1_1},
                                                      {"tlsv1.2", tls_version::v1_2},
                                                      {"tlsv1.3", tls_version::v1_3}});
         }},
        {"channel_binding",
         [](connect_options& o, const std::string& v) {
             o.channel_binding = one_of<channel_binding>("channel_binding", v,
                                                         {{"disable", channel_binding::disable},
                                                          {"prefer", channel_binding::prefer},
                                                          {"require", channel_binding::require}});
         }},
        {"target_session_attrs",
         [](connect_options& o, const std::string& v) {
             o.target_session_attrs = one_of<session_attributes>(
                 "target_session_attrs", v,
                 {{"any", session_attributes::any},
                  {"read-write", session_attributes::read_write},
                  {"read-only", session_attributes::read_only},
                  {"primary", session_attributes::primary},
                  {"standby", session_attributes::standby},
                  {"prefer-standby", session_attributes::prefer_standby}});
         }},
        {"load_balance_hosts",
         [](connect_options& o, const std::string& v) {
             o.load_balance_hosts =
                 one_of<bool>("load_balance_hosts", v, {{"disable", false}, {"random", true}});
         }},
        {"client_encoding",
         [](connect_options&, const std::string& v) {
             one_of<bool>("client_encoding", ascii::to_lower(v),
                          {{"utf8", true}, {"utf-8", true}, {"unicode", true}, {"auto", true}});
         }},
        {"service",
         [](connect_options&, const std::string&) {
             throw error(errc::bad_input,
                         "the connection string names a service, which "
                         "connect_options::from_environment looks up and parse does not");
         }},
    };
    return table;
}

}  // namespace

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && is_blank(text.front())) {
        text.remove_prefix(1);
    }
    while (!text.empty() && is_blank(text.back())) {
        text.remove_suffix(1);
    }
    return text;
}

conninfo parse_conninfo(std::string_view text) {
    if (text.find('\0') != std::string_view::npos) {
        throw error(errc::bad_input, "the connection string contains a zero byte");
    }
    const libpq::untranslated english;
    char* words = nullptr;
    const option_list options(PQconninfoParse(std::string(text).c_str(), &words));
    const std::unique_ptr<char, decltype(&PQfreemem)> complaint(words, &PQfreemem);
    if (!options) {
        throw unreadable_string(text, words);
    }
    conninfo given;
    for (const PQconninfoOption* one = options.get(); one->keyword; ++one) {
        if (one->val && *one->val) {
            given.emplace(one->keyword, one->val);
        }
    }
    return given;
}

void add_environment(conninfo& given, const std::function<const char*(const char*)>& look_up) {
    const option_list known(PQconninfoParse("", nullptr));
    for (const PQconninfoOption* one = known.get(); one && one->keyword; ++one) {
        const std::string_view keyword = one->keyword;
        if (!one->envvar || keyword == "service" || keyword == "client_encoding") {
            continue;
        }
        const char* const value = look_up(one->envvar);
        if (value && *value) {
            given.emplace(keyword, value);
        }
    }
}

conninfo defaults_despite(const std::function<const char*(const char*)>& look_up) {
    const option_list known(PQconninfoParse("", nullptr));
    conninfo defaults;
    for (const PQconninfoOption* one = known.get(); one && one->keyword; ++one) {
        const char* const value = one->envvar ? look_up(one->envvar) : nullptr;
        if (value && *value && one->compiled && *one->compiled) {
            defaults.emplace(one->keyword, one->compiled);
        }
    }
    return defaults;
}

void apply_conninfo(const conninfo& given, connect_options& options) {
    if (given.contains("host") || given.contains("hostaddr") || given.contains("port")) {
        options.hosts = hosts_of(given);
    }
    for (const auto& [keyword, value] : given) {
        const auto known = setters().find(keyword);
        if (known != setters().end()) {
            known->second(options, value);
        } else if (keyword == "fallback_application_name") {
            if (!given.contains("application_name")) {
                options.application_name = value;
            }
        } else if (keyword != "host" && keyword != "hostaddr" && keyword != "port") {
            options.extra_parameters.emplace_back(keyword, value);
        }
    }
}

bool is_libpq_keyword(std::string_view keyword) {
    const option_list known(PQconninfoParse("", nullptr));
    for (const PQconninfoOption* one = known.get(); one && one->keyword; ++one) {
        if (one->keyword == keyword) {
            return true;
        }
    }
    return false;
}

std::string default_socket_directory() {
    return DEFAULT_PGSOCKET_DIR;
}

bool is_unix_socket(std::string_view host) {
    return host.starts_with('/') || host.starts_with('@');
}

connect_options connect_options::parse(std::string_view text) {
    connect_options options;
    apply_conninfo(parse_conninfo(text), options);
    return options;
}

}  // namespace bitdotio
