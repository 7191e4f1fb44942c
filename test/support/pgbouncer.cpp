// Configures PgBouncer in a file and commands it through its console.
#include "support/pgbouncer.hpp"

#include <bitdotio/connection.hpp>

#include <signal.h>

namespace test {

namespace asio = boost::asio;

namespace {

constexpr const char* program = "/usr/sbin/pgbouncer";

asio::awaitable<bitdotio::result> ask(bitdotio::connect_options options, std::string words) {
    bitdotio::connection c = co_await bitdotio::connection::open(options);
    std::vector<bitdotio::result> answers = co_await c.script(std::move(words));
    co_await c.close();
    co_return answers.empty() ? bitdotio::result() : std::move(answers.back());
}

}  // namespace

pgbouncer::pgbouncer(const postgres_server& behind, pooling mode,
                     const std::map<std::string, std::string>& settings)
    : port_(free_port()), connect_(behind.connect()) {
    connect_.hosts = {{"127.0.0.1", port_}};
    const std::string users = daemon_.home() / "users.txt";
    const bitdotio::tls_identity& tls = behind.tls();
    std::map<std::string, std::string> all{
        {"listen_addr", "127.0.0.1"},
        {"listen_port", std::to_string(port_)},
        {"unix_socket_dir", ""},
        {"auth_type", "scram-sha-256"},
        {"auth_file", users},
        {"admin_users", "console"},
        {"pool_mode", mode == pooling::session ? "session" : "transaction"},
        // In session mode a client keeps its server, so this is as many as a test may have clients.
        {"default_pool_size", "25"},
        {"client_tls_sslmode", "require"},
        {"client_tls_cert_file", tls.certificate_file},
        {"client_tls_key_file", tls.key_file},
        {"server_tls_sslmode", "require"},
        // A server that went away is tried again at once, not after 15 s.
        {"server_login_retry", "1"},
    };
    for (const auto& [name, value] : settings) {
        all[name] = value;
    }
    std::string text =
        "[databases]\n* = host=127.0.0.1 port=" + std::to_string(behind.port()) + "\n[pgbouncer]\n";
    for (const auto& [name, value] : all) {
        text += name + " = " + value + "\n";
    }
    daemon_.write(daemon_.home() / "pgbouncer.ini", text);
    const std::string& word = postgres_server::password();
    std::string known;
    for (const char* user : {"tester", "console", "postgres"}) {
        known += "\"" + std::string(user) + "\" \"" + word + "\"\n";
    }
    daemon_.write(users, known);
    start();
}

bitdotio::connect_options pgbouncer::connect() const {
    return connect_;
}

bitdotio::connect_options pgbouncer::console() const {
    bitdotio::connect_options options = connect_;
    options.user = "console";
    options.database = "pgbouncer";
    options.wake_timeout = std::chrono::seconds(3);
    return options;
}

void pgbouncer::start() {
    const auto answers = [this] {
        bitdotio::connect_options once = console();
        once.wake_timeout = std::chrono::milliseconds(0);
        try {
            daemon_.executor().wait_for(ask(once, "SHOW VERSION"));
            return true;
        } catch (const bitdotio::error& failure) {
            if (failure.code() != bitdotio::errc::database_asleep) {
                throw;
            }
            return false;
        }
    };
    daemon_.start({program, daemon_.home() / "pgbouncer.ini"}, SIGKILL, answers);
}

void pgbouncer::stop() {
    daemon_.end(SIGTERM);
}

void pgbouncer::command(const std::string& words) {
    daemon_.executor().wait_for(ask(console(), words));
}

std::vector<std::string> pgbouncer::column(const std::string& show, const std::string& name) {
    const bitdotio::result answer = daemon_.executor().wait_for(ask(console(), "SHOW " + show));
    std::vector<std::string> texts;
    for (const auto& row : answer) {
        texts.push_back(row[name].as<std::string>());
    }
    return texts;
}

}  // namespace test
