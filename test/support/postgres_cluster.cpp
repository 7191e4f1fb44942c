// Runs initdb, pg_basebackup and postgres, and the superuser's statements on our own connection.
#include "support/postgres_cluster.hpp"

#include "support/secrets.hpp"

#include <bitdotio/connection.hpp>

#include "server/instances/programs.hpp"

#include <signal.h>

#include <array>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace test {

namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace {

constexpr std::chrono::seconds patience{30};

std::string program(const char* name) {
    static const fs::path programs = bitdotio::find_postgres_programs("", "").postgres;
    return programs.parent_path() / name;
}

asio::awaitable<std::vector<bitdotio::result>> run_script(bitdotio::connect_options options,
                                                          std::string sql) {
    bitdotio::connection c = co_await bitdotio::connection::open(options);
    std::vector<bitdotio::result> answers = co_await c.script(std::move(sql));
    co_await c.close();
    co_return answers;
}

}  // namespace

const std::string& postgres_server::password() {
    static const std::string word = "only for tests";
    keep_secret(word);
    return word;
}

postgres_server::postgres_server() : port_(free_port()) {}

postgres_server::~postgres_server() {
    // Its children exit when it does, but not if it is killed.
    try {
        daemon_.end(SIGQUIT);
    } catch (const std::exception&) {  // it was killed
    }
}

bitdotio::connect_options postgres_server::connect() const {
    bitdotio::connect_options options;
    options.hosts = {address()};
    options.user = "tester";
    options.password = password();
    options.database = "tests";
    options.ca_file = tls_.ca_file;
    options.wake_timeout = std::chrono::seconds(20);
    options.on_notice = expect_discreet_notice;
    return options;
}

bitdotio::connect_options postgres_server::superuser(const std::string& database) const {
    bitdotio::connect_options options = connect();
    options.user = "postgres";
    options.database = database;
    options.application_name = "fixture";
    return options;
}

void postgres_server::start() {
    launch({});
}

void postgres_server::start_slowly() {
    daemon_.write(data() / "recovery.signal", "");
    launch({"restore_command=sleep 0.4; false", "hot_standby=off"});
}

void postgres_server::launch(std::vector<std::string> more) {
    std::vector<std::string> words{program("postgres"), "-D", data()};
    for (const std::string& setting : {
             "port=" + std::to_string(port_),
             std::string("listen_addresses=127.0.0.1"),
             "unix_socket_directories=\"" + daemon_.home().string() + "\"",
             std::string("ssl=on"),
             "ssl_cert_file=" + tls_.certificate_file.string(),
             "ssl_key_file=" + tls_.key_file.string(),
             std::string("password_encryption=scram-sha-256"),
             // Data may be lost with the machine, but not by an immediate stop: synchronous_commit
             // stays.
             std::string("fsync=off"),
             std::string("full_page_writes=off"),
             std::string("shared_buffers=16MB"),
             std::string("max_connections=60"),
             std::string("wal_level=replica"),
             std::string("max_wal_senders=5"),
             std::string("wal_keep_size=64MB"),
             std::string("min_wal_size=32MB"),
             std::string("hot_standby=on"),
             std::string("autovacuum=off"),
             std::string("logging_collector=off"),
         }) {
        words.push_back("-c");
        words.push_back(setting);
    }
    for (const std::string& setting : more) {
        words.push_back("-c");
        words.push_back(setting);
    }
    // The file of a crashed server says "ready" about another process.
    daemon_.start(std::move(words), SIGQUIT, [this] { return is_ready(); });
}

// Lines 1 and 8 of the file: the process that wrote it, and its state.
bool postgres_server::is_ready() const {
    std::ifstream in(data() / "postmaster.pid");
    std::string line;
    if (!std::getline(in, line) || line != std::to_string(daemon_.pid())) {
        return false;
    }
    for (int number = 2; number <= 8; ++number) {
        if (!std::getline(in, line)) {
            return false;
        }
    }
    return line.starts_with("ready");
}

void postgres_server::stop(stop_mode how) {
    switch (how) {
        case stop_mode::smart: daemon_.end(SIGTERM); break;
        case stop_mode::fast: daemon_.end(SIGINT); break;
        case stop_mode::immediate: daemon_.end(SIGQUIT); break;
    }
}

std::vector<bitdotio::result> postgres_server::script(const std::string& database,
                                                      const std::string& sql) {
    return daemon_.executor().wait_for(run_script(superuser(database), sql));
}

void postgres_server::execute(const std::string& sql) {
    script("tests", sql);
}

std::string postgres_server::value(const std::string& sql) {
    return script("tests", sql).back().one<std::string>();
}

void postgres_server::kill_backends(const std::string& application) {
    const std::string chosen =
        "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'" +
        (application.empty() ? "" : " AND application_name = '" + application + "'");
    // Terminates all at once, then waits for each.
    execute("SELECT pg_terminate_backend(pid) " + chosen +
            "; SELECT pg_terminate_backend(pid, 10000) " + chosen);
}

void postgres_server::crash() {
    daemon_.end(SIGKILL);
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (has_processes(data())) {
        if (std::chrono::steady_clock::now() >= deadline) {
            throw std::runtime_error("processes of the crashed server are left");
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

void postgres_server::kill_hard(const std::vector<int>& backends) {
    for (const int backend : backends) {
        ::kill(backend, SIGKILL);  // it may have ended with the first already
    }
    // Until the server notices the death it continues as if nothing had happened.
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (const int backend : backends) {
        while (::kill(backend, 0) == 0) {
            if (std::chrono::steady_clock::now() >= deadline) {
                throw std::runtime_error("a killed backend is still there");
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    value("SELECT 1::text");
}

std::vector<int> postgres_server::backends(const std::string& application) {
    return script("tests",
                  "SELECT pid FROM pg_stat_activity WHERE application_name = '" + application + "'")
        .back()
        .rows_as<int>();
}

postgres_primary::postgres_primary() {
    tls_ = bitdotio::open_tls_identity(daemon_.home().parent_path() / "tls", "127.0.0.1");
    daemon_.give(tls_.key_file);
    const fs::path word = daemon_.home() / "password";
    daemon_.write(word, password() + "\n");
    daemon_.run_once({program("initdb"), "-D", data(), "--username=postgres",
                      "--pwfile=" + word.string(), "--auth=scram-sha-256", "--encoding=UTF8",
                      "--locale=C.UTF-8", "--no-sync", "--no-instructions"});
    start();
    script("postgres", "CREATE ROLE tester LOGIN PASSWORD '" + password() + "'");
    script("postgres", "CREATE DATABASE tests OWNER tester");
}

postgres_standby::postgres_standby(postgres_primary& primary) : primary_(primary) {
    tls_ = primary.tls();
    const std::string source = "host=127.0.0.1 port=" + std::to_string(primary.port()) +
                               " user=postgres password='" + password() +
                               "' sslmode=verify-full sslrootcert=" + tls_.ca_file.string();
    daemon_.run_once({program("pg_basebackup"), "-D", data(), "-d", source, "--write-recovery-conf",
                      "--checkpoint=fast", "--wal-method=stream", "--no-sync"});
    start();
}

void postgres_standby::catch_up() {
    const std::string written = primary_.value("SELECT pg_current_wal_insert_lsn()");
    const std::string here =
        "SELECT coalesce(pg_last_wal_replay_lsn() >= '" + written + "', false)::text";
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (value(here) != "true") {
        if (std::chrono::steady_clock::now() >= deadline) {
            throw std::runtime_error("the standby did not catch up with its primary in time");
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

void postgres_standby::promote() {
    if (value("SELECT pg_promote(true, 30)::text") != "true") {
        throw std::runtime_error("the standby did not become a primary in time");
    }
}

}  // namespace test
