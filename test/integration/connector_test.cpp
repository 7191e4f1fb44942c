// Opening a connection: roles, passwords, certificates and refusals, against a PostgreSQL without a
// gateway before it.
#include "support/certificates.hpp"
#include "support/database.hpp"
#include "support/environment.hpp"
#include "support/postgres.hpp"

#include "postgres/connector.hpp"
#include "postgres/postgres_session.hpp"

#include <bitdotio/connection.hpp>

#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include <doctest/doctest.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using namespace std::chrono_literals;
using bitdotio::connect_options;
using bitdotio::connection;
using bitdotio::errc;
using bitdotio::session_attributes;
using bitdotio::tls_mode;
using tcp = asio::ip::tcp;

// Shared by the cases that leave it as it was.
test::private_postgres& server() {
    static test::private_postgres instance([] {
        test::private_postgres_options options;
        options.tls = true;
        options.hba =
            "hostssl all with_certificate 127.0.0.1/32 cert\n"
            "hostssl all key_and_word 127.0.0.1/32 scram-sha-256 clientcert=verify-full\n"
            "hostnossl all in_the_clear 127.0.0.1/32 scram-sha-256\n"
            "host all in_the_clear 127.0.0.1/32 reject\n"
            "hostssl all md5_only 127.0.0.1/32 md5\n"
            "local all all scram-sha-256\n"
            "host all forbidden 127.0.0.1/32 reject\n"
            "host all all 127.0.0.1/32 scram-sha-256\n";
        return options;
    }());
    static const bool once = [] {
        instance.run(
            "CREATE ROLE ann LOGIN PASSWORD 'ann''s'; CREATE ROLE bob LOGIN PASSWORD 'bob''s';"
            "CREATE ROLE in_the_clear LOGIN PASSWORD 'x';"
            "CREATE ROLE with_certificate LOGIN; CREATE ROLE key_and_word LOGIN PASSWORD 'x';"
            "CREATE ROLE forbidden LOGIN PASSWORD 'x';"
            "CREATE ROLE crowded LOGIN PASSWORD 'x' CONNECTION LIMIT 0;"
            "CREATE ROLE reader LOGIN PASSWORD 'x';"
            "ALTER ROLE reader SET default_transaction_read_only = on;"
            "SET password_encryption = md5; CREATE ROLE md5_only LOGIN PASSWORD 'x';");
        test::issue_certificate(instance.tls_directory(), "with_certificate");
        test::issue_certificate(instance.tls_directory(), "key_and_word", "hush");
        return true;
    }();
    (void)once;
    return instance;
}

connect_options ann() {
    connect_options options = server().over_tcp("ann", "ann's");
    options.wake_timeout = 0ms;
    return options;
}

connect_options certified(const std::string& user) {
    connect_options options = server().over_tcp(user, "");
    options.wake_timeout = 0ms;
    options.certificate_file = (server().tls_directory() / (user + ".pem")).string();
    options.key_file = (server().tls_directory() / (user + ".key")).string();
    return options;
}

asio::awaitable<std::string> ask(connect_options options, bitdotio::statement sql) {
    connection c = co_await connection::open(options);
    const auto answer = co_await c.query(std::move(sql));
    co_return answer.one<std::string>();
}

std::string user_of(connect_options options) {
    return test::run(ask(std::move(options), "SELECT current_user::text"));
}

bitdotio::error refusal_of(connect_options options) {
    return test::error_of(ask(std::move(options), "SELECT 'in'"));
}

bool mentions(const bitdotio::error& failure, const std::string& part) {
    return std::string(failure.what()).find(part) != std::string::npos;
}

TEST_CASE("a refusal carries its SQLSTATE, whatever the reason") {
    connect_options wrong = ann();
    wrong.password = "s3cret";
    const auto password = refusal_of(wrong);
    CHECK(password.sqlstate() == "28P01");
    CHECK(password.code() == errc::authentication_failed);
    CHECK_FALSE(mentions(password, "s3cret"));
    connect_options nowhere = ann();
    nowhere.database = "nowhere";
    CHECK(refusal_of(nowhere).sqlstate() == "3D000");
    CHECK(refusal_of(nowhere).code() == errc::not_found);
    const auto forbidden = refusal_of([] {
        auto options = ann();
        options.user = "forbidden";
        return options;
    }());
    CHECK(forbidden.sqlstate() == "28000");
    CHECK(forbidden.code() == errc::authentication_failed);
    connect_options crowded = ann();
    crowded.user = "crowded";
    crowded.password = "x";
    CHECK(refusal_of(crowded).sqlstate() == "53300");
    CHECK(refusal_of(crowded).code() == errc::server_busy);
    connect_options without = ann();
    without.password.clear();
    CHECK(refusal_of(without).code() == errc::authentication_failed);
}

TEST_CASE("a server that shuts down is waited for, and its 57P03 told when the time is up") {
    test::private_postgres_options rules;
    rules.hba = "host all all 127.0.0.1/32 trust\n";
    test::private_postgres other(rules);
    const auto work = [](test::private_postgres& home) -> asio::awaitable<void> {
        connect_options options = home.over_tcp("postgres", "");
        connection holds = co_await connection::open(options);
        // A smart shutdown: no session is let in any more, and the open ones are waited for.
        const auto pid =
            co_await holds.query("SELECT (pg_read_file('postmaster.pid', 0, 20)::text)");
        ::kill(std::stoi(pid.one<std::string>()), SIGTERM);
        options.wake_timeout = 0ms;
        std::optional<bitdotio::error> failure;
        const auto limit = std::chrono::steady_clock::now() + 30s;
        while (!failure && std::chrono::steady_clock::now() < limit) {
            try {
                connection late = co_await connection::open(options);
            } catch (const bitdotio::error& thrown) {
                failure = thrown;
            }
        }
        REQUIRE(failure);
        CHECK(failure->code() == errc::database_asleep);
        CHECK(failure->sqlstate() == "57P03");
        co_await holds.close();
    };
    test::run(work(other));
}

TEST_CASE("settings and options hold from the start of the session, and RESET returns to them") {
    connect_options options = ann();
    options.application_name = "a till";
    options.options = "-c geqo=off";
    options.settings = {{"search_path", "\"a b\", \"c\\d\""}, {"my.empty", ""}};
    const auto work = [](connect_options given) -> asio::awaitable<void> {
        connection c = co_await connection::open(given);
        const auto answer = co_await c.query(
            "SELECT current_setting('search_path'), current_setting('my.empty'), "
            "current_setting('geqo'), current_setting('application_name')");
        CHECK(answer[0][0].as<std::string>() == "\"a b\", \"c\\d\"");
        CHECK(answer[0][1].as<std::string>().empty());
        CHECK(answer[0][2].as<std::string>() == "off");
        CHECK(answer[0][3].as<std::string>() == "a till");
        co_await c.script("SET search_path = public; RESET search_path");
        const auto again = co_await c.query("SELECT current_setting('search_path')");
        CHECK(again.one<std::string>() == "\"a b\", \"c\\d\"");
    };
    test::run(work(options));
    options.settings = {{"no_such_setting", "1"}};
    CHECK(refusal_of(options).sqlstate() == "42704");
    options.settings = {{"search_path", "a b"}};
    const auto refused = refusal_of(options);
    CHECK(refused.sqlstate() == "22023");
    CHECK(refused.server().severity == "FATAL");
    CHECK(refused.server().message == "invalid value for parameter \"search_path\": \"a b\"");
    CHECK(refused.server().detail == "List syntax is invalid.");
}

TEST_CASE("a connection string opens a connection, in both forms and through the socket") {
    const std::string port = std::to_string(server().port());
    auto plain = connect_options::parse("host=localhost hostaddr=127.0.0.1 port=" + port +
                                        " user=ann password='ann\\'s' dbname=postgres "
                                        "sslrootcert=" +
                                        server().ca_file());
    CHECK(user_of(plain) == "ann");
    auto uri =
        connect_options::parse("postgresql://ann:ann%27s@127.0.0.1:" + port +
                               "/postgres?sslmode=verify-ca&sslrootcert=" + server().ca_file());
    CHECK(user_of(uri) == "ann");
    auto socket = connect_options::parse("host=" + server().directory().string() + " port=" + port +
                                         " user=ann password='ann\\'s' "
                                         "dbname=postgres");
    CHECK(user_of(socket) == "ann");
}

TEST_CASE("a password file gives each user its password, read when the connection is opened") {
    const test::temporary_directory directory;
    const std::string path = (directory / "passwords").string();
    const auto write = [&](const std::string& text) {
        std::ofstream(path) << text;
        fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
    };
    const std::string here = "127.0.0.1:" + std::to_string(server().port()) + ":postgres:";
    write(here + "ann:ann's\n" + here + "bob:bob's\n");
    connect_options options = ann();
    options.password.clear();
    options.password_file = path;
    CHECK(user_of(options) == "ann");
    options.user = "bob";
    CHECK(user_of(options) == "bob");
    write(here + "bob:wrong\n");
    CHECK(refusal_of(options).sqlstate() == "28P01");
    options.password = "bob's";  // an explicit password goes first
    CHECK(user_of(options) == "bob");
}

TEST_CASE("a password file that others may read is ignored, and the failure says so") {
    const test::temporary_directory directory;
    const std::string path = (directory / "passwords").string();
    std::ofstream(path) << "*:*:*:*:ann's\n";
    fs::permissions(path, static_cast<fs::perms>(0644));
    connect_options options = ann();
    options.password.clear();
    options.password_file = path;
    const auto failure = refusal_of(options);
    CHECK(failure.code() == errc::authentication_failed);
    CHECK(mentions(failure, path));
    CHECK(mentions(failure, "0600"));
}

TEST_CASE("libpq's own password file and certificates are not looked at behind our back") {
    const test::temporary_directory home;
    const test::scoped_variable variable("HOME", home.path().string());
    const std::string path = (home / ".pgpass").string();
    std::ofstream(path) << "*:*:*:*:ann's\n";
    fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
    connect_options options = ann();
    options.password.clear();
    CHECK(refusal_of(options).code() == errc::authentication_failed);
    options = connect_options::from_environment(
        "host=127.0.0.1 port=" + std::to_string(server().port()) +
        " user=ann dbname=postgres sslrootcert=" + server().ca_file());
    CHECK(user_of(options) == "ann");
}

TEST_CASE("a client's certificate is its password, with its key in a file of its own or the same") {
    CHECK(user_of(certified("with_certificate")) == "with_certificate");
    connect_options one_file = certified("with_certificate");
    const fs::path both = server().tls_directory() / "both-in-one.pem";
    std::ofstream(both) << std::ifstream(one_file.certificate_file).rdbuf()
                        << std::ifstream(one_file.key_file).rdbuf();
    fs::permissions(both, fs::perms::owner_read | fs::perms::owner_write);
    one_file.certificate_file = both.string();
    one_file.key_file.clear();
    CHECK(user_of(one_file) == "with_certificate");

    connect_options without = certified("with_certificate");
    without.certificate_file.clear();
    CHECK(refusal_of(without).code() == errc::authentication_failed);
    connect_options somebody_else = certified("key_and_word");
    somebody_else.key_password = "hush";
    somebody_else.user = "with_certificate";
    CHECK(refusal_of(somebody_else).sqlstate() == "28000");
}

TEST_CASE("an encrypted key needs its password, which no error tells") {
    connect_options options = certified("key_and_word");
    options.password = "x";
    options.key_password = "hush";
    CHECK(user_of(options) == "key_and_word");
    options.key_password = "s3cret";
    const auto failure = refusal_of(options);
    CHECK(failure.code() == errc::bad_input);
    CHECK_FALSE(mentions(failure, "s3cret"));
}

TEST_CASE("a key that others may read is refused at once, naming the file") {
    connect_options options = certified("with_certificate");
    const fs::path open = server().tls_directory() / "open.key";
    fs::copy_file(options.key_file, open, fs::copy_options::overwrite_existing);
    fs::permissions(open, static_cast<fs::perms>(0644));
    options.key_file = open.string();
    options.wake_timeout = 60s;
    const auto failure = refusal_of(options);
    CHECK(failure.code() == errc::bad_input);
    CHECK(mentions(failure, "open.key"));
}

TEST_CASE("each TLS mode verifies what it says and no more") {
    connect_options options = ann();
    options.hosts = {{"other.example", server().port(), "127.0.0.1"}};
    CHECK(refusal_of(options).code() == errc::tls_failed);
    options.tls = tls_mode::verify_ca;
    CHECK(user_of(options) == "ann");
    options.ca_file.clear();
    CHECK(refusal_of(options).code() == errc::tls_failed);
    options.tls = tls_mode::require;
    CHECK(test::run(ask(options, "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
              .starts_with("TLS"));
    options.ca_file = "/dev/null/none.pem";
    options.tls = tls_mode::verify_full;
    CHECK(refusal_of(options).code() == errc::bad_input);

    connect_options clear = server().over_tcp("in_the_clear", "x");
    clear.wake_timeout = 0ms;
    CHECK(refusal_of(clear).sqlstate() == "28000");
    clear.tls = tls_mode::disable;
    CHECK(user_of(clear) == "in_the_clear");
    clear.tls = tls_mode::prefer;  // which tries without TLS after a refusal with it
    CHECK(user_of(clear) == "in_the_clear");
    clear.tls = tls_mode::allow;
    CHECK(user_of(clear) == "in_the_clear");
}

TEST_CASE("a revoked certificate of the server is refused") {
    const fs::path directory = server().tls_directory();
    test::write_revocations(directory, "none.crl", {});
    test::write_revocations(directory, "server.crl", directory / "server.pem");
    connect_options options = ann();
    options.crl_file = (directory / "none.crl").string();
    CHECK(user_of(options) == "ann");
    options.crl_file = (directory / "server.crl").string();
    CHECK(refusal_of(options).code() == errc::tls_failed);
}

TEST_CASE("channel binding can be required, and then nothing less will do") {
    connect_options options = ann();
    options.channel_binding = bitdotio::channel_binding::require;
    CHECK(user_of(options) == "ann");
    connect_options weak = server().over_tcp("md5_only", "x");
    weak.wake_timeout = 0ms;
    CHECK(user_of(weak) == "md5_only");
    weak.channel_binding = bitdotio::channel_binding::require;
    CHECK(refusal_of(weak).code() == errc::tls_failed);
}

TEST_CASE("the lowest TLS version can be raised") {
    connect_options options = ann();
    options.min_tls_version = bitdotio::tls_version::v1_3;
    CHECK(test::run(ask(options, "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")) ==
          "TLSv1.3");
    options.extra_parameters = {{"ssl_min_protocol_version", "TLSv1.2"},
                                {"ssl_max_protocol_version", "TLSv1.2"}};
    CHECK(test::run(ask(options, "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")) ==
          "TLSv1.2");
}

// Hands one connection on to a server and garbles what it reports about its role, as if it were
// older than PostgreSQL 14, or a pooler that does not forward it.
asio::awaitable<void> garble(tcp::socket client, std::uint16_t target) {
    tcp::socket to_server(co_await asio::this_coro::executor);
    const tcp::endpoint there(asio::ip::address_v4::loopback(), target);
    co_await to_server.async_connect(there, asio::use_awaitable);
    auto copy = [](tcp::socket& from, tcp::socket& to, bool change) -> asio::awaitable<void> {
        std::array<char, 65'536> buffer;
        boost::system::error_code failure;
        while (!failure) {
            const std::size_t size = co_await from.async_read_some(
                asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, failure));
            std::string text(buffer.data(), size);
            for (const char* name : {"in_hot_standby", "default_transaction_read_only"}) {
                const std::size_t found = text.find(name);
                if (change && found != std::string::npos) {
                    text[found] = '_';
                }
            }
            if (!failure) {
                co_await asio::async_write(to, asio::buffer(text), asio::use_awaitable);
            }
        }
        to.shutdown(tcp::socket::shutdown_send, failure);
    };
    auto there_way = copy(client, to_server, false);
    auto back_way = copy(to_server, client, true);
    auto both = asio::experimental::make_parallel_group(
        asio::co_spawn(co_await asio::this_coro::executor, std::move(there_way), asio::deferred),
        asio::co_spawn(co_await asio::this_coro::executor, std::move(back_way), asio::deferred));
    co_await both.async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
}

TEST_CASE("a server that does not report its role is asked for it") {
    const auto work = [](test::private_postgres& home) -> asio::awaitable<void> {
        const auto executor = co_await asio::this_coro::executor;
        tcp::acceptor acceptor(executor, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
        auto serve = [](tcp::acceptor& at, std::uint16_t port) -> asio::awaitable<void> {
            for (;;) {
                tcp::socket client = co_await at.async_accept(asio::use_awaitable);
                auto one = garble(std::move(client), port);
                asio::co_spawn(at.get_executor(), std::move(one), asio::detached);
            }
        };
        auto serving = serve(acceptor, home.port());
        asio::co_spawn(executor, std::move(serving), [](std::exception_ptr) {});

        connect_options options = home.over_tcp("in_the_clear", "x");
        options.tls = tls_mode::disable;
        options.wake_timeout = 0ms;
        options.hosts[0].port = acceptor.local_endpoint().port();
        struct row {
            session_attributes wanted;
            const char* read_only;
            bool taken;
        };
        const row table[] = {
            {session_attributes::read_write, "off", true},
            {session_attributes::read_write, "on", false},
            {session_attributes::read_only, "on", true},
            {session_attributes::read_only, "off", false},
            {session_attributes::primary, "on", true},
            {session_attributes::standby, "on", false},
            {session_attributes::prefer_standby, "off", true},
        };
        for (const row& one : table) {
            options.target_session_attrs = one.wanted;
            options.settings = {{"default_transaction_read_only", one.read_only}};
            bool taken = true;
            try {
                connection c = co_await connection::open(options);
                co_await c.close();
            } catch (const bitdotio::error& failure) {
                CHECK(failure.code() == errc::database_asleep);
                taken = false;
            }
            CHECK(taken == one.taken);
        }
        acceptor.close();
    };
    test::run(work(server()));
}

TEST_CASE("among several servers the first of the wanted role is taken") {
    static test::private_postgres reader([] {
        test::private_postgres_options options;
        options.hba = "local all all trust\n";
        options.settings = "default_transaction_read_only = on";
        return options;
    }());
    connect_options options = reader.superuser();
    const bitdotio::host_port read_only = options.hosts[0];
    const bitdotio::host_port writable = server().superuser().hosts[0];
    const auto port_of = [](connect_options given) {
        return test::run(ask(std::move(given), "SELECT current_setting('port')"));
    };
    const std::string read_only_port = std::to_string(read_only.port);
    const std::string writable_port = std::to_string(writable.port);
    options.hosts = {read_only, writable};
    options.wake_timeout = 0ms;
    CHECK(port_of(options) == read_only_port);
    options.target_session_attrs = session_attributes::read_write;
    CHECK(port_of(options) == writable_port);
    options.target_session_attrs = session_attributes::primary;
    CHECK(port_of(options) == read_only_port);
    options.target_session_attrs = session_attributes::prefer_standby;
    CHECK(port_of(options) == read_only_port);
    options.hosts = {writable, read_only};
    CHECK(port_of(options) == writable_port);
    options.target_session_attrs = session_attributes::read_only;
    CHECK(port_of(options) == read_only_port);
    options.target_session_attrs = session_attributes::standby;
    const auto failure = refusal_of(options);
    CHECK(failure.code() == errc::database_asleep);
    CHECK(mentions(failure, "asks for a standby"));
}

TEST_CASE("a role's own default counts, and so does one of the options") {
    connect_options options = server().over_tcp("reader", "x");
    options.wake_timeout = 0ms;
    options.target_session_attrs = session_attributes::read_only;
    CHECK(user_of(options) == "reader");
    options.target_session_attrs = session_attributes::read_write;
    CHECK(mentions(refusal_of(options), "takes writes"));
    options.options = "-c default_transaction_read_only=off";  // goes before the role's own
    CHECK(user_of(options) == "reader");
}

TEST_CASE("a server that takes no writes yet is waited for") {
    // The database's default changes while we wait, as a standby's role does when it is promoted.
    const auto work = [](test::private_postgres& home) -> asio::awaitable<void> {
        connection control = co_await connection::open(home.superuser());
        co_await control.query("CREATE DATABASE promoted");
        co_await control.query("ALTER DATABASE promoted SET default_transaction_read_only = on");
        connect_options options = home.superuser();
        options.database = "promoted";
        options.target_session_attrs = session_attributes::read_write;
        options.wake_timeout = 30s;
        std::exception_ptr failure;
        asio::steady_timer ended(co_await asio::this_coro::executor, bitdotio::no_deadline);
        bool open = false;
        const auto on_end = [&](std::exception_ptr thrown, connection) {
            failure = thrown;
            open = true;
            ended.cancel();
        };
        auto opening = connection::open(options);
        asio::co_spawn(co_await asio::this_coro::executor, std::move(opening), on_end);
        asio::steady_timer soon(co_await asio::this_coro::executor, 200ms);
        co_await soon.async_wait(asio::use_awaitable);
        CHECK_FALSE(open);
        co_await control.query("ALTER DATABASE promoted SET default_transaction_read_only = off");
        boost::system::error_code ignored;
        if (!open) {
            co_await ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
        CHECK_FALSE(failure);
    };
    test::run(work(server()));
}

TEST_CASE("balanced, hosts are taken in random order, all of them in the end") {
    connect_options options = ann();
    options.load_balance_hosts = true;
    options.hosts = {{"127.0.0.1", server().port()},
                     {server().directory().string(), server().port()}};
    std::set<std::string> taken;
    for (int i = 0; i < 64 && taken.size() < 2; ++i) {
        taken.insert(
            test::run(ask(options, "SELECT coalesce(inet_server_addr()::text, 'socket')")));
    }
    CHECK(taken.size() == 2);
    options.load_balance_hosts = false;
    taken.clear();
    for (int i = 0; i < 8; ++i) {
        taken.insert(
            test::run(ask(options, "SELECT coalesce(inet_server_addr()::text, 'socket')")));
    }
    CHECK(taken.size() == 1);
}

TEST_CASE("a session refused for its role is closed, not left behind") {
    const auto work = [](test::private_postgres& home) -> asio::awaitable<void> {
        connect_options options = home.over_tcp("reader", "x");
        options.target_session_attrs = session_attributes::read_write;
        options.wake_timeout = 0ms;
        for (int i = 0; i < 5; ++i) {
            std::optional<errc> failed;
            try {
                connection never = co_await connection::open(options);
            } catch (const bitdotio::error& failure) {
                failed = failure.code();
            }
            CHECK(failed == errc::database_asleep);
        }
        connection control = co_await connection::open(home.superuser());
        std::int64_t left = -1;
        const auto limit = std::chrono::steady_clock::now() + 30s;
        while (left != 0 && std::chrono::steady_clock::now() < limit) {
            const auto answer = co_await control.query(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader'");
            left = answer.one<std::int64_t>();
        }
        CHECK(left == 0);
    };
    test::run(work(server()));
}

}  // namespace
