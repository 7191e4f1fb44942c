// The words libpq has for our options, and what it must not find out by itself.
#include "postgres/dial_parameters.hpp"

#include "postgres/conninfo.hpp"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string_view>

namespace bitdotio {

namespace {

// Where Debian and its kin keep the authorities of the system; libpq 15 has no name for them.
constexpr const char* system_ca_file = "/etc/ssl/certs/ca-certificates.crt";

// A path at which there can be nothing: keeps libpq from looking for the file in the home
// directory.
constexpr const char* no_file = "/dev/null/none";

std::string or_no_file(const std::string& path) {
    return path.empty() ? no_file : path;
}

std::string_view word_of(tls_mode mode) {
    switch (mode) {
        case tls_mode::verify_full: break;
        case tls_mode::verify_ca: return "verify-ca";
        case tls_mode::require: return "require";
        case tls_mode::prefer: return "prefer";
        case tls_mode::allow: return "allow";
        case tls_mode::disable: return "disable";
    }
    return "verify-full";
}

std::string_view word_of(channel_binding binding) {
    return binding == channel_binding::require   ? "require"
           : binding == channel_binding::disable ? "disable"
                                                 : "prefer";
}

std::string_view word_of(tls_version version) {
    switch (version) {
        case tls_version::v1_0: return "TLSv1";
        case tls_version::v1_1: return "TLSv1.1";
        case tls_version::v1_2: break;
        case tls_version::v1_3: return "TLSv1.3";
    }
    return "TLSv1.2";
}

// Those that this library decides itself, by other options.
bool is_taken(std::string_view keyword) {
    constexpr std::string_view taken[] = {
        "host",     "hostaddr", "port",    "dbname",          "user",
        "password", "passfile", "service", "client_encoding", "target_session_attrs",
        "options"};
    return std::find(std::begin(taken), std::end(taken), keyword) != std::end(taken);
}

// A setting on the server's command line, where blanks separate and a backslash protects.
void append_setting(std::string& line, const std::string& name, const std::string& value) {
    const bool fits = !name.empty() && std::none_of(name.begin(), name.end(), [](char c) {
        return is_blank(c) || c == '=' || c == '\\' || c == '\0';
    });
    if (!fits || value.find('\0') != std::string::npos) {
        throw error(errc::bad_input,
                    "connect_options::settings has \"" + name +
                        "\", which is not the name of a setting, or a value with a zero byte");
    }
    line += (line.empty() ? "-c " : " -c ") + name + "=";
    for (const char c : value) {
        if (is_blank(c) || c == '\\') {
            line += '\\';
        }
        line += c;
    }
}

// C ends a string there, so that what stands before it would be used.
void refuse_zero_byte(const std::string& name, std::string_view value) {
    if (value.find('\0') != std::string_view::npos) {
        throw error(errc::bad_input, name + " contains a zero byte, which PostgreSQL cannot take")
            .with(outcome::not_sent);
    }
}

void check_texts(const connect_options& options) {
    const std::pair<const char*, const std::string&> texts[] = {
        {"user", options.user},
        {"password", options.password},
        {"password_file", options.password_file},
        {"database", options.database},
        {"ca_file", options.ca_file},
        {"crl_file", options.crl_file},
        {"certificate_file", options.certificate_file},
        {"key_file", options.key_file},
        {"key_password", options.key_password},
        {"application_name", options.application_name},
        {"options", options.options}};
    for (const auto& [name, value] : texts) {
        refuse_zero_byte(std::string("connect_options::") + name, value);
    }
    for (const host_port& host : options.hosts) {
        refuse_zero_byte("a host of connect_options::hosts", host.host);
        refuse_zero_byte("an address of connect_options::hosts", host.address);
    }
    for (const auto& [keyword, value] : options.extra_parameters) {
        refuse_zero_byte("a keyword of connect_options::extra_parameters", keyword);
        refuse_zero_byte("\"" + keyword + "\" of connect_options::extra_parameters", value);
    }
}

std::string startup_words(const connect_options& options) {
    std::string line = options.options;
    for (const auto& [name, value] : options.settings) {
        append_setting(line, name, value);
    }
    return line;
}

}  // namespace

void check(const connect_options& options) {
    if (options.hosts.empty()) {
        throw error(errc::bad_input, "connect_options::hosts is empty; name at least one host");
    }
    for (const host_port& host : options.hosts) {
        if ((host.host.empty() && host.address.empty()) || host.port == 0) {
            throw error(errc::bad_input,
                        "connect_options::hosts has an entry without a host or "
                        "with port 0");
        }
    }
    check_texts(options);
    if (options.connect_timeout.count() <= 0 || options.cancel_timeout.count() <= 0) {
        throw error(errc::bad_input,
                    "connect_timeout and cancel_timeout of connect_options must be above 0 ms");
    }
    if (options.wake_timeout.count() < 0 || options.statement_timeout.count() < 0) {
        throw error(errc::bad_input,
                    "wake_timeout and statement_timeout of connect_options must not be negative");
    }
    for (const auto& [keyword, value] : options.extra_parameters) {
        if (is_taken(keyword) || !is_libpq_keyword(keyword)) {
            throw error(errc::bad_input, "connect_options::extra_parameters has \"" + keyword +
                                             "\", which has an option of its own or is not known "
                                             "to libpq");
        }
    }
    startup_words(options);
}

libpq_parameters dial_parameters(const connect_options& options, const host_port& target,
                                 const std::string& numeric, const std::string& password) {
    const conninfo defaults = defaults_despite([](const char* name) { return std::getenv(name); });
    libpq_parameters given(defaults.begin(), defaults.end());
    const libpq_parameters ours{
        {"host", target.host},
        {"hostaddr", numeric},
        {"port", std::to_string(target.port)},
        {"dbname", options.database},
        {"user", options.user},
        {"password", password},
        {"passfile", no_file},
        {"application_name", options.application_name},
        {"client_encoding", "UTF8"},
        {"channel_binding", std::string(word_of(options.channel_binding))},
        // Both are ours: the walk over the hosts, and so the choice among them.
        {"target_session_attrs", "any"},
        // A GSSAPI attempt costs a round trip and ends in the same TLS.
        {"gssencmode", "disable"},
        // Keepalives alone and the user timeout alone each leave one way to hang.
        {"keepalives_idle", "10"},
        {"keepalives_interval", "5"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "15000"},
    };
    given.insert(given.end(), ours.begin(), ours.end());
    const std::string words = startup_words(options);
    if (!words.empty()) {
        given.emplace_back("options", words);
    } else if (const char* const foreign = std::getenv("PGOPTIONS"); foreign && *foreign) {
        given.emplace_back("options", " ");  // libpq would take those of the environment
    }
    if (options.tls == tls_mode::disable || numeric.empty()) {
        given.emplace_back("sslmode", "disable");
    } else {
        const bool verifies =
            options.tls == tls_mode::verify_full || options.tls == tls_mode::verify_ca;
        const std::string system = verifies ? system_ca_file : no_file;
        // A key may stand in one file with its certificate.
        const std::string& key =
            options.key_file.empty() ? options.certificate_file : options.key_file;
        given.emplace_back("sslmode", word_of(options.tls));
        given.emplace_back("sslrootcert", options.ca_file.empty() ? system : options.ca_file);
        given.emplace_back("sslcrl", or_no_file(options.crl_file));
        given.emplace_back("sslcert", or_no_file(options.certificate_file));
        given.emplace_back("sslkey", or_no_file(key));
        given.emplace_back("sslpassword", options.key_password);
        given.emplace_back("ssl_min_protocol_version", word_of(options.min_tls_version));
    }
    given.insert(given.end(), options.extra_parameters.begin(), options.extra_parameters.end());
    for (const auto& [keyword, value] : given) {  // a password that was asked for, or read
        refuse_zero_byte("the connection's " + keyword, value);
    }
    return given;
}

}  // namespace bitdotio
