// Runs a local_server between two signals.
#include "cli/serve.hpp"

#include <bitdotio/error.hpp>
#include <bitdotio/local_server.hpp>

#include "base/spawn.hpp"
#include "cli/profiles.hpp"
#include "cli/service.hpp"
#include "service/profile.hpp"

#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <sys/resource.h>
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

namespace bitdotio::cli {

namespace {

namespace fs = std::filesystem;

// Where Debian keeps the authorities of the system; libpq has no name for them before version 16.
const std::string system_authorities = "/etc/ssl/certs/ca-certificates.crt";

fs::path default_data_directory() {
    if (::geteuid() == 0) {
        // PostgreSQL runs as another user then, who cannot enter /root.
        return "/var/lib/bitdotio";
    }
    if (const char* data = std::getenv("XDG_DATA_HOME"); data && *data) {
        return fs::path(data) / "bitdotio";
    }
    if (const char* home = std::getenv("HOME"); home && *home) {
        return fs::path(home) / ".local" / "share" / "bitdotio";
    }
    throw error(errc::bad_input, "no place for the databases: give --data-dir DIR or --temporary");
}

// Writes once, so that lines of several threads do not mix. If the log cannot be written it is
// given up, and the server goes on.
void write_log(const std::string& line) {
    const ssize_t ignored = ::write(STDERR_FILENO, line.data(), line.size());
    static_cast<void>(ignored);
}

std::function<void(const server_event&)> log_of(const arguments& words) {
    const std::string format = words.get("--log").value_or("none");
    if (format == "json") return [](const server_event& event) { write_log(event.json() + "\n"); };
    if (format == "text") return [](const server_event& event) { write_log(event.text() + "\n"); };
    if (format == "none") return nullptr;
    throw error(errc::bad_input, "option --log must be json, text or none, not \"" + format + "\"");
}

fs::path file_of(const arguments& words, const char* option) {
    const auto named = words.get(option);
    return named ? fs::absolute(*named) : fs::path();
}

// The connection string from --backend, the file, or the environment; empty for none.
std::string backend_of(const arguments& words) {
    const auto given = words.get(backend_option);
    const auto file = words.get("--backend-file");
    if (given && file) {
        throw error(errc::bad_input, "give either --backend or --backend-file, not both");
    }
    const char* variable = std::getenv("BITIO_BACKEND");
    std::string text = given ? *given : file ? read_secret_file(*file) : variable ? variable : "";
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) {
        text.pop_back();
    }
    if (text.empty() && (given || file)) {
        throw error(errc::bad_input, "the connection string of the backend is empty");
    }
    return text;
}

// Refuses options for instances of our own, which would silently have no effect.
void check_backend(const arguments& words) {
    for (const char* vain :
         {"--ephemeral", "--sleep-after", "--run-as", "--postgres-programs", "--temp-file-limit"}) {
        if (words.has(vain)) {
            throw error(errc::bad_input, std::string(vain) + " means nothing with a backend");
        }
    }
}

local_server_options server_options(const arguments& words) {
    local_server_options options;
    options.durable = !words.has("--ephemeral");
    options.backend = backend_of(words);
    if (!options.backend.empty()) check_backend(words);
    if (words.has("--temporary") || !options.durable) {
        if (words.has("--data-dir")) {
            throw error(errc::bad_input,
                        "give either --data-dir or " +
                            std::string(options.durable ? "--temporary" : "--ephemeral") +
                            ", not both");
        }
    } else {
        const auto named = words.get("--data-dir");
        if (named && named->empty()) {
            throw error(errc::bad_input, "--data-dir is empty; it must be a directory");
        }
        options.data_directory = named ? fs::absolute(*named) : default_data_directory();
    }
    const auto file = words.get("--profile");
    const auto name = words.get("--name");
    if (file && !words.is_from_environment("--profile")) {
        if (name) throw error(errc::bad_input, "give either --profile or --name, not both");
        options.profile_file = profile_named(*file).file;
    } else {
        options.profile_file =
            profile_for_server(name.value_or(""), options.data_directory.empty()
                                                      ? "temporary"
                                                      : options.data_directory.filename().string());
    }
    if (options.profile_file.empty()) {
        throw error(errc::bad_input, "no place for the profile: give --profile FILE");
    }
    options.profile_file = fs::absolute(options.profile_file);
    options.listen = words.get("--listen").value_or(options.listen);
    options.api_port = words.get_port("--api-port").value_or(options.api_port);
    options.postgres_port = words.get_port("--postgres-port").value_or(options.postgres_port);
    options.sleep_after = words.get_duration("--sleep-after").value_or(options.sleep_after);
    options.idle_session_timeout =
        words.get_duration("--idle-timeout").value_or(options.idle_session_timeout);
    options.session_life = words.get_duration("--session-life").value_or(options.session_life);
    options.stop_grace = words.get_duration("--stop-grace").value_or(options.stop_grace);
    if (const auto limit = words.get_size("--max-connections")) {
        options.max_connections = static_cast<int>(std::min<std::int64_t>(*limit, 1'000'000));
    }
    if (const auto kept = words.get_size("--reserve-sessions")) {
        options.reserve_sessions = static_cast<int>(std::min<std::int64_t>(*kept, 1'000'000));
    }
    if (const auto most = words.get_size("--max-clients")) {
        options.max_clients = static_cast<int>(std::min<std::int64_t>(*most, 1'000'000));
    }
    if (const auto most = words.get_size("--max-clients-per-address")) {
        options.max_clients_per_address =
            static_cast<int>(std::min<std::int64_t>(*most, 1'000'000));
    }
    if (const auto size = words.get_size("--request-memory")) {
        options.request_memory = static_cast<std::uint64_t>(*size);
    }
    if (const auto size = words.get_size("--largest-answer")) {
        options.largest_answer = static_cast<std::uint64_t>(*size);
    }
    const auto bytes = [&](const char* option, std::uint64_t& limit) {
        if (const auto given = words.get_size(option)) limit = static_cast<std::uint64_t>(*given);
    };
    bytes("--largest-import", options.largest_import);
    bytes("--largest-export", options.largest_export);
    bytes("--uploads-of-account", options.uploads_of_account);
    bytes("--uploads-in-all", options.uploads_in_all);
    bytes("--exports-of-account", options.exports_of_account);
    bytes("--exports-in-all", options.exports_in_all);
    bytes("--jobs-of-account", options.jobs_of_account);
    bytes("--jobs-in-all", options.jobs_in_all);
    bytes("--temp-file-limit", options.largest_temporary_files);
    if (words.has("--disk-reserve")) bytes("--disk-reserve", options.disk_reserve.emplace());
    options.wake_timeout = words.get_duration("--wake-timeout").value_or(options.wake_timeout);
    options.user = words.get("--user").value_or(options.user);
    options.run_as = words.get("--run-as").value_or(options.run_as);
    options.postgres_programs = words.get("--postgres-programs").value_or("");
    options.allow_private_urls = words.has("--allow-private-urls");
    options.certificate_file = file_of(words, "--certificate");
    options.private_key_file = file_of(words, "--private-key");
    options.certificate_authority_file = file_of(words, "--certificate-authority");
    options.log = log_of(words);
    return options;
}

std::string backend_line(const local_server_options& options) {
    if (options.backend.empty()) return "";
    std::string line = "Backend   ";
    const connect_options backend = connect_options::parse(options.backend);
    for (const host_port& each : backend.hosts) {
        line += (line.ends_with(' ') ? "" : ", ") + (each.host.empty() ? each.address : each.host) +
                ":" + std::to_string(each.port);
    }
    return line + "\n";
}

// Never prints the key: output ends up in logs and in the history of shells.
void print_welcome(const local_server& server, const local_server_options& options) {
    const std::string profile = options.profile_file.string();
    const std::string name = options.user + "/my-db";
    std::cout << "API       " << server.api_url() << "\n"
              << "Postgres  " << server.postgres_host() << ":" << server.postgres_port() << "\n"
              << backend_line(options) << "Data      "
              << (options.data_directory.empty() ? "temporary, removed on stop"
                                                 : options.data_directory.string())
              << (options.durable ? "" : "; NOT DURABLE: a crash of the machine loses everything")
              << "\n"
              << "Key       in the profile " << profile << ", which bit and the SDK read\n"
              << "\n";
    if (options.profile_file != fs::absolute(default_profile_file())) {
        std::cout << "export BITIO_PROFILE='" << profile << "'\n";
    }
    std::cout << "bit db create -n my-db\n"
              << "bit query -d " << name << " -q 'SELECT 1'\n"
              << "PGPASSWORD=$(sed -E 's/.*\"key\": *\"([^\"]*)\".*/\\1/' '" << profile
              << "') psql \"host=" << server.postgres_host() << " port=" << server.postgres_port()
              << " dbname=" << name << " user=api_user sslmode=verify-full sslrootcert='"
              << (server.ca_file().empty() ? system_authorities : server.ca_file()) << "'\"\n"
              << "C++: bitdotio::client client(executor);\n"
              << "\n"
              << "ready; stop with Ctrl-C" << std::endl;
}

// A session takes two descriptors; the usual limit for one program, 1,024, is soon too low.
void allow_many_descriptors() noexcept {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

asio::awaitable<void> start(local_server_options options, std::optional<local_server>& server) {
    server.emplace(co_await local_server::start(std::move(options)));
}

// Waits for a signal; returns true if it asks only for the certificate.
asio::awaitable<bool> is_reload(asio::signal_set& signals, const fs::path& certificate) {
    boost::system::error_code ignored;
    const int number =
        co_await signals.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    co_return !ignored && number == SIGHUP && !certificate.empty();
}

asio::awaitable<void> serve(local_server_options options) {
    const auto executor = co_await asio::this_coro::executor;
    asio::signal_set signals(executor, SIGINT, SIGTERM, SIGHUP);
    std::optional<local_server> server;

    // A signal during the start cancels it, and what was started is stopped.
    auto starting = asio::experimental::make_parallel_group(
        beside(executor, start(options, server)), signals.async_wait(asio::deferred));
    const auto ended =
        co_await starting.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    const bool interrupted = std::get<0>(ended)[0] == 1;
    if (std::get<1>(ended) && !interrupted) {
        std::rethrow_exception(std::get<1>(ended));
    }
    if (server && !interrupted) {
        print_welcome(*server, options);
        for (;;) {
            const bool reload = co_await is_reload(signals, options.certificate_file);
            if (!reload) break;
            try {
                co_await server->reload_certificate();
            } catch (const error& failure) {
                std::cerr << "bit: the certificate stays: " << failure.what() << std::endl;
            }
        }
    }
    if (server) {
        co_await server->stop();
    }
}

}  // namespace

command serve_command() {
    return {
        "serve",
        "",
        "Run the service on this machine until interrupted.",
        {{"", "--data-dir", "DIR",
          "Where databases and keys live between runs; by default "
          "/var/lib/bitdotio for root, else ~/.local/share/bitdotio."},
         {"", "--temporary", "", "Keep nothing: remove all data on stop."},
         {"", "--ephemeral", "", "As --temporary, and without durability: faster, for tests."},
         {"", backend_option, "DSN",
          "Make databases in this PostgreSQL instead of running some; better in BITIO_BACKEND "
          "or --backend-file."},
         {"", "--backend-file", "FILE", "The same, read from a file that only its owner may read."},
         {"", "--listen", "ADDRESS", "The address to listen on (127.0.0.1)."},
         {"", "--api-port", "PORT", "Port of the HTTPS API (0: a free one)."},
         {"", "--postgres-port", "PORT", "Port of the Postgres endpoint (0: a free one)."},
         {"", "--sleep-after", "DURATION",
          "When a database without connections falls asleep: 500ms, 1s, 2m (60s)."},
         {"", "--idle-timeout", "DURATION", "When an idle session is ended (5m)."},
         {"", "--session-life", "DURATION", "When a session is ended, idle or not (60m)."},
         {"", "--stop-grace", "DURATION",
          "How long statements and requests may go on after Ctrl-C (5s)."},
         {"", "--max-connections", "COUNT",
          "How many sessions a database can have at once, queries of the API "
          "included (110)."},
         {"", "--reserve-sessions", "COUNT",
          "How many sessions begin ahead of their clients, for each role of a database (1)."},
         {"", "--max-clients", "COUNT",
          "How many connections the API and the Postgres endpoint each have at once (1,000)."},
         {"", "--max-clients-per-address", "COUNT",
          "How many of them from one address other than this machine's (500)."},
         {"", "--request-memory", "BYTES",
          "How much of requests' bodies is in memory at once (67108864)."},
         {"", "--largest-answer", "BYTES",
          "How long the answer to a query of the API may be (67108864)."},
         {"", "--wake-timeout", "DURATION",
          "How long a client waits for its database to wake (60s)."},
         {"", "--profile", "NAME|FILE",
          "Where clients find address and key; by default BITIO_PROFILE, else "
          "~/.config/bitdotio/profile.json.",
          false, "profile"},
         {"", "--name", "NAME",
          "A profile of this name instead; without it, where another server lives whose profile is "
          "the default one, the data directory's."},
         {"", "--user", "NAME", "The owner of the databases (local)."},
         {"", "--run-as", "USER",
          "Who PostgreSQL runs as if this is root (postgres, else nobody)."},
         {"", "--postgres-programs", "DIR",
          "Where initdb and postgres are; by default the newest that is installed."},
         {"", "--allow-private-urls", "",
          "Let imports fetch files from this machine and private networks."},
         {"", "--largest-import", "BYTES", "Files to import may be as long (16 GiB)."},
         {"", "--largest-export", "BYTES", "Exported files may be as long (16 GiB)."},
         {"", "--uploads-of-account", "BYTES",
          "Files of one account that wait for their import (32 GiB)."},
         {"", "--uploads-in-all", "BYTES", "The same of all accounts (64 GiB)."},
         {"", "--exports-of-account", "BYTES", "Exported files of one account (32 GiB)."},
         {"", "--exports-in-all", "BYTES", "The same of all accounts (64 GiB)."},
         {"", "--jobs-of-account", "COUNT", "Jobs of one account that are kept (1000)."},
         {"", "--jobs-in-all", "COUNT", "The same of all accounts (10000)."},
         {"", "--disk-reserve", "BYTES",
          "Take no imports, exports and new databases while less is free on the disk (1 GiB, or a "
          "hundredth of the disk if that is less)."},
         {"", "--temp-file-limit", "BYTES",
          "What a session may hold in temporary files of sorts and joins (1 GiB)."},
         {"", "--certificate", "FILE",
          "A certificate (PEM, with its chain) to use instead of one of our own; needs "
          "--private-key."},
         {"", "--private-key", "FILE", "Its private key (PEM)."},
         {"", "--certificate-authority", "FILE",
          "What clients trust then (PEM), if it is not an authority of the system."},
         {"", "--log", "FORMAT", "Tell what happens on standard error: json, text or none (none).",
          false, "json|text|none"}},
        {},
        &run_serve};
}

void run_serve(const arguments& words) {
    local_server_options options = server_options(words);
    allow_many_descriptors();
    asio::io_context io(1);
    std::exception_ptr failure;
    spawn_alone(io.get_executor(), serve(std::move(options)),
                [&](std::exception_ptr thrown) noexcept { failure = std::move(thrown); });
    io.run();
    if (failure) {
        std::rethrow_exception(failure);
    }
}

}  // namespace bitdotio::cli
