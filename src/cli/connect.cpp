// The commands that use the Postgres endpoint: "psql", "connection-string", "ping".
#include "cli/commands.hpp"

#include <bitdotio/connection.hpp>

#include "base/percent_encoding.hpp"
#include "cli/direct.hpp"
#include "cli/output.hpp"

#include <boost/json.hpp>

#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

namespace bitdotio::cli {

namespace {

constexpr std::string_view masked_key = "***";

// libpq has no name for the authorities of the system before version 16; Debian keeps them here.
std::string authorities(const service_place& where) {
    return where.options.ca_file.empty() ? "/etc/ssl/certs/ca-certificates.crt"
                                         : where.options.ca_file;
}

void run_psql(const arguments& words) {
    std::vector<std::string> rest = words.words();
    std::string database;
    if (!rest.empty() && !rest[0].starts_with('-')) {
        database = rest[0];
        rest.erase(rest.begin());
    }
    const database_name name = database_of(words, database);
    const service_place where = find_service(words);
    require_postgres(where);
    // The key goes by the environment, which only this user can read, and never by the words.
    const std::pair<const char*, std::string> settings[] = {
        {"PGHOST", where.options.postgres_host},
        {"PGPORT", std::to_string(where.options.postgres_port)},
        {"PGDATABASE", name.full()},
        {"PGUSER", "api_user"},
        {"PGPASSWORD", where.options.key->reveal()},
        {"PGSSLMODE", "verify-full"},
        {"PGSSLROOTCERT", authorities(where)}};
    for (const auto& [variable, value] : settings)
        ::setenv(variable, value.c_str(), 1);
    for (const char* const variable : {"PGHOSTADDR", "PGSERVICE", "BITIO_KEY"}) {
        ::unsetenv(variable);
    }
    std::string program = "psql";
    std::vector<char*> line = {program.data()};
    for (std::string& word : rest)
        line.push_back(word.data());
    line.push_back(nullptr);
    std::signal(SIGPIPE, SIG_DFL);
    ::execvp("psql", line.data());
    throw error(errc::system_failed,
                std::string("cannot run psql: ") + std::strerror(errno) +
                    (errno == ENOENT ? "; Debian has it in the package postgresql-client" : ""));
}

// A value of a keyword, in quotes.
std::string keyword_value(const std::string& text) {
    std::string quoted = "'";
    for (const char c : text) {
        if (c == '\'' || c == '\\') quoted += '\\';
        quoted += c;
    }
    return quoted + "'";
}

// A word of a shell.
std::string shell_word(const std::string& text) {
    std::string quoted = "'";
    for (const char c : text) {
        quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    }
    return quoted + "'";
}

std::string host_in_url(const std::string& host) {
    return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

std::string connection_text(const std::string& format, const service_place& where,
                            const database_name& name, const std::string& key) {
    const std::string& host = where.options.postgres_host;
    const std::string port = std::to_string(where.options.postgres_port);
    const std::string place = host_in_url(host) + ":" + port + "/" + percent_encoded(name.full());
    const std::string trust =
        "sslmode=verify-full&sslrootcert=" + percent_encoded(authorities(where));
    if (format == "uri") return "postgresql://api_user:" + key + "@" + place + "?" + trust;
    if (format == "keywords") {
        return "host=" + keyword_value(host) + " port=" + port +
               " dbname=" + keyword_value(name.full()) +
               " user=api_user password=" + keyword_value(key) +
               " sslmode=verify-full sslrootcert=" + keyword_value(authorities(where));
    }
    if (format == "jdbc") {
        return "jdbc:postgresql://" + place + "?user=api_user&password=" + key + "&" + trust;
    }
    if (format == "env") {
        std::string lines;
        const std::pair<const char*, std::string> settings[] = {
            {"PGHOST", host},
            {"PGPORT", port},
            {"PGDATABASE", name.full()},
            {"PGUSER", "api_user"},
            {"PGPASSWORD", key},
            {"PGSSLMODE", "verify-full"},
            {"PGSSLROOTCERT", authorities(where)}};
        for (const auto& [variable, value] : settings) {
            lines += (lines.empty() ? "export " : "\nexport ") + std::string(variable) + "=" +
                     shell_word(value);
        }
        return lines;
    }
    throw error(errc::bad_input,
                "option --format must be uri, keywords, jdbc or env, not \"" + format + "\"");
}

void run_connection_string(const arguments& words) {
    const database_name name = database_of(words, words.words().empty() ? "" : words.words()[0]);
    const service_place where = find_service(words);
    require_postgres(where);
    const bool with_key = words.has("--with-key");
    print(connection_text(words.get("--format").value_or("uri"), where, name,
                          with_key ? where.options.key->reveal() : std::string(masked_key)) +
          "\n");
    if (!with_key && is_terminal(STDOUT_FILENO)) {
        tell("bit: the key is masked; --with-key shows it");
    }
}

work ping(const arguments& words, direct_target target) {
    const auto begin = std::chrono::steady_clock::now();
    const connect_options& where = target.where;
    const std::string place = where.hosts.at(0).host + ":" + std::to_string(where.hosts[0].port);
    const std::string database = where.database;
    target.where.application_name = "bit ping";
    std::optional<connection> session_there;
    co_await open_directly(target, session_there);
    connection& session = *session_there;
    const auto opened = std::chrono::steady_clock::now();
    const result version = co_await session.query("SHOW server_version");
    const auto answered = std::chrono::steady_clock::now();
    const std::string version_text = version.one<std::string>();
    const std::string server = version_text.substr(0, version_text.find(' '));
    if (wants_json(words)) {
        const auto microseconds = [](std::chrono::steady_clock::duration time) {
            return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
        };
        print_json(boost::json::serialize(
            boost::json::object{{"database", database},
                                {"postgres", place},
                                {"server_version", server},
                                {"connect_microseconds", microseconds(opened - begin)},
                                {"round_trip_microseconds", microseconds(answered - opened)}}));
    } else {
        print(database + " is awake at " + place + " (PostgreSQL " + server +
              "): connected after " + time_text(opened - begin) + ", answers after " +
              time_text(answered - opened) + "\n");
    }
    co_await session.close();
}

void run_ping(const arguments& words) {
    const database_name name = database_of(words, words.words().empty() ? "" : words.words()[0]);
    const auto patience = words.get_duration("--timeout");
    service_place where = find_service(words);
    require_postgres(where);
    if (patience) where.options.connect.wake_timeout = *patience;
    run_at(where, [&](asio::any_io_executor executor) {
        const client service(std::move(executor), where.options);
        return ping(words, direct_target_of(words, where, service.connect_options(name)));
    });
}

}  // namespace

std::vector<command> connect_commands() {
    return {{"psql",
             "",
             "Become psql, connected to a database; its own options follow \"--\".",
             {database_option},
             {"[DB]", "[ARGS...]"},
             &run_psql},
            {"connection-string",
             "",
             "Print how other programs connect to a database; the key is masked.",
             {database_option,
              {"", "--format", "FORMAT", "uri, keywords, jdbc or env (uri).", false,
               "uri|keywords|jdbc|env"},
              {"", "--with-key", "", "Show the key too."}},
             {"[DB]"},
             &run_connection_string},
            {"ping",
             "",
             "Wake a database, and tell how long that took.",
             {database_option, {"", "--timeout", "DURATION", "Give up after this time (60s)."}},
             {"[DB]"},
             &run_ping}};
}

}  // namespace bitdotio::cli
