// Opening a connection: roles, passwords, certificates and refusals, against a PostgreSQL without a
// gateway before it.
#include "support/certificates.hpp"
#include "support/database.hpp"
#include "support/environment.hpp"
#include "support/postgres.hpp"
#include "support/text.hpp"
#include "support/with_connection.hpp"

#include "postgres/connector.hpp"
#include "postgres/postgres_session.hpp"

#include <bitdotio/connection.hpp>

#include <boost/asio/ip/tcp.hpp>

#include <doctest/doctest.h>

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
using test::mentions;
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
    test::run([&]() -> asio::awaitable<void> {
        connect_options options = other.over_tcp("postgres", "");
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
    });
}

TEST_CASE("settings and options hold from the start of the session, and RESET returns to them") {
    connect_options options = ann();
    options.application_name = "a till";
    options.options = "-c geqo=off";
    options.settings = {{"search_path", "\"a b\", \"c\\d\""}, {"my.empty", ""}};
    test::with_connection(options, [&](connection& c) -> asio::awaitable<void> {
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
    });
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

}  // namespace
