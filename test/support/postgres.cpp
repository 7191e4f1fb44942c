// Runs initdb, writes a few files, and starts the postmaster as the unprivileged user.
#include "support/postgres.hpp"

#include <bitdotio/connection.hpp>

#include "base/deadline.hpp"
#include "server/instances/programs.hpp"
#include "server/tls/tls_identity.hpp"
#include "support/secrets.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_future.hpp>

#include <unistd.h>
#include <csignal>
#include <fstream>
#include <future>
#include <stdexcept>
#include <utility>

namespace test {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using bitdotio::connect_options;

namespace {

constexpr std::chrono::seconds patience{120};

std::uint16_t free_port() {
    asio::io_context io;
    const asio::ip::tcp::acceptor taken(
        io, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    return taken.local_endpoint().port();
}

void give_to(const fs::path& path, const bitdotio::system_user& owner) {
    if (owner.change && ::chown(path.c_str(), owner.uid, owner.gid) != 0) {
        throw std::runtime_error("cannot give away " + path.string());
    }
}

void append(const fs::path& path, const std::string& text) {
    std::ofstream file(path, std::ios::app);
    file << text;
    if (!file.flush()) {
        throw std::runtime_error("cannot write " + path.string());
    }
}

}  // namespace

template <class T>
T private_postgres::wait_for(asio::awaitable<T> work) {
    auto done = asio::co_spawn(io_, std::move(work), asio::use_future);
    io_.restart();
    io_.run_for(patience);
    if (done.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
        throw std::runtime_error("PostgreSQL did not answer the test in time");
    }
    return done.get();
}

private_postgres::private_postgres(private_postgres_options options)
    : port_(free_port()), tls_(options.tls) {
    wait_for(start(std::move(options)));
}

private_postgres::~private_postgres() {
    try {
        stop();
    } catch (...) {  // it dies with this process
        if (process_) {
            process_->signal(SIGKILL);
        }
    }
}

asio::awaitable<void> private_postgres::start(private_postgres_options options) {
    const auto programs = bitdotio::find_postgres_programs({}, "");
    const fs::path data = directory() / "data";
    bitdotio::command step;
    step.run_as = bitdotio::unprivileged_user("");
    fs::create_directory(directory());
    give_to(directory(), step.run_as);
    step.directory = directory();
    step.output = directory() / "log";
    step.arguments = {
        programs.initdb,   "--pgdata=" + data.string(), "--username=postgres", "--auth=trust",
        "--encoding=UTF8", "--locale=C.UTF-8",          "--wal-segsize=1",     "--no-sync"};
    co_await bitdotio::run_program(step, patience);

    std::ofstream(data / "pg_hba.conf") << "local all postgres trust\n" << options.hba << "\n";
    std::string settings = "port = " + std::to_string(port_) +
                           "\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '" +
                           directory().string() + "'\nfsync = off\n";
    if (tls_) {
        const auto identity = bitdotio::open_tls_identity(tls_directory(), "127.0.0.1");
        // PostgreSQL requires that only its own user can read its key.
        const fs::path key = data / "server.key";
        fs::copy_file(identity.key_file, key);
        give_to(key, step.run_as);
        settings += "ssl = on\nssl_cert_file = '" + identity.certificate_file.string() +
                    "'\nssl_ca_file = '" + identity.ca_file.string() + "'\n";
    }
    append(data / "postgresql.conf", settings + options.settings + "\n");

    step.arguments = {programs.postgres, "-D", data};
    step.death_signal = SIGQUIT;
    process_ = co_await bitdotio::child::start(step);
    // Until it listens it counts as asleep, and opening a connection waits for it.
    auto first = co_await bitdotio::connection::open(superuser());
    co_await first.close();
}

connect_options private_postgres::superuser() const {
    connect_options options;
    options.hosts = {{directory().string(), port_}};
    options.user = "postgres";
    options.database = "postgres";
    return options;
}

connect_options private_postgres::over_tcp(const std::string& user,
                                           const std::string& password) const {
    connect_options options;
    options.hosts = {{"127.0.0.1", port_}};
    options.user = user;
    options.password = password;
    keep_secret(password);
    options.database = "postgres";
    if (tls_) {
        options.ca_file = ca_file();
    } else {
        options.tls = bitdotio::tls_mode::disable;
    }
    return options;
}

asio::awaitable<void> private_postgres::run_script(std::string script) {
    auto c = co_await bitdotio::connection::open(superuser());
    co_await c.script(std::move(script));
    co_await c.close();
}

void private_postgres::run(const std::string& script) {
    wait_for(run_script(script));
}

asio::awaitable<void> private_postgres::end() {
    process_->signal(SIGINT);
    try {
        co_await bitdotio::with_deadline(process_->wait(),
                                         bitdotio::deadline_after(std::chrono::seconds(20)));
    } catch (const bitdotio::error&) {
        process_->signal(SIGKILL);
    }
    process_.reset();
}

void private_postgres::stop() {
    if (process_) {
        wait_for(end());
    }
}

}  // namespace test
