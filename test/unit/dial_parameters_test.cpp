// The parameters that libpq gets for one try at one address.
#include "postgres/dial_parameters.hpp"
#include "postgres/conninfo.hpp"

#include "support/environment.hpp"

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <string>

namespace {

using namespace bitdotio;

connect_options somewhere() {
    connect_options options;
    options.hosts = {{"db.example", 5432}};
    return options;
}

// Reads them like libpq: the last of a name counts, and an empty value does not.
std::map<std::string, std::string> told(const connect_options& options,
                                        const std::string& numeric = "10.0.0.1") {
    std::map<std::string, std::string> last;
    for (const auto& [name, value] :
         dial_parameters(options, options.hosts.at(0), numeric, options.password)) {
        if (!value.empty()) {
            last[name] = value;
        }
    }
    return last;
}

std::string complaint(const connect_options& options) {
    try {
        check(options);
    } catch (const error& failure) {
        CHECK(failure.code() == errc::bad_input);
        return failure.what();
    }
    return "";
}

TEST_CASE("a zero byte in any text is refused by name") {
    const std::string cut("t\0evil", 6);
    const std::pair<const char*, std::string connect_options::*> texts[] = {
        {"user", &connect_options::user},
        {"password", &connect_options::password},
        {"password_file", &connect_options::password_file},
        {"database", &connect_options::database},
        {"ca_file", &connect_options::ca_file},
        {"crl_file", &connect_options::crl_file},
        {"certificate_file", &connect_options::certificate_file},
        {"key_file", &connect_options::key_file},
        {"key_password", &connect_options::key_password},
        {"application_name", &connect_options::application_name},
        {"options", &connect_options::options}};
    for (const auto& [name, member] : texts) {
        connect_options options = somewhere();
        options.*member = cut;
        CHECK(complaint(options) == "connect_options::" + std::string(name) +
                                        " contains a zero byte, which PostgreSQL cannot take");
    }
    connect_options options = somewhere();
    options.hosts[0].host = cut;
    CHECK(complaint(options).find("hosts contains a zero byte") != std::string::npos);
    options.hosts[0] = host_port("a", 1, cut);
    CHECK(complaint(options).find("hosts contains a zero byte") != std::string::npos);
    options = somewhere();
    options.extra_parameters = {{"keepalives", cut}};
    CHECK(complaint(options).find("\"keepalives\"") != std::string::npos);
    // What a program was asked for, or a file said.
    CHECK_THROWS_AS(dial_parameters(somewhere(), somewhere().hosts[0], "10.0.0.1", cut), error);
}

TEST_CASE("TLS is verified in full unless another mode is set, and a Unix socket has none") {
    connect_options options = somewhere();
    CHECK(told(options)["sslmode"] == "verify-full");
    CHECK(told(options)["sslrootcert"] == "/etc/ssl/certs/ca-certificates.crt");
    CHECK(told(options)["ssl_min_protocol_version"] == "TLSv1.2");
    CHECK(told(options, "")["sslmode"] == "disable");
    options.hosts[0].host = "127.0.0.1";
    CHECK(told(options, "127.0.0.1")["sslmode"] == "verify-full");
    const std::pair<tls_mode, const char*> table[] = {
        {tls_mode::verify_ca, "verify-ca"}, {tls_mode::require, "require"},
        {tls_mode::prefer, "prefer"},       {tls_mode::allow, "allow"},
        {tls_mode::disable, "disable"},
    };
    for (const auto& [mode, word] : table) {
        options.tls = mode;
        CHECK(told(options)["sslmode"] == word);
    }
}

TEST_CASE("no file of the home directory gets in between, named or not") {
    connect_options options = somewhere();
    for (const char* keyword : {"passfile", "sslcert", "sslkey", "sslcrl"}) {
        CHECK(told(options)[keyword] == "/dev/null/none");
    }
    options.tls = tls_mode::require;  // libpq would verify it with a file that it finds
    CHECK(told(options)["sslrootcert"] == "/dev/null/none");
    options.ca_file = "/ca.pem";
    CHECK(told(options)["sslrootcert"] == "/ca.pem");
}

TEST_CASE("a certificate without a key file holds its key itself") {
    connect_options options = somewhere();
    options.certificate_file = "/me.pem";
    CHECK(told(options)["sslcert"] == "/me.pem");
    CHECK(told(options)["sslkey"] == "/me.pem");
    options.key_file = "/me.key";
    CHECK(told(options)["sslkey"] == "/me.key");
}

TEST_CASE("a peer that is gone is noticed by keepalives, and by what it does not acknowledge") {
    std::map<std::string, std::string> all = told(somewhere());
    CHECK(all["keepalives_idle"] == "10");
    CHECK(all["keepalives_interval"] == "5");
    CHECK(all["keepalives_count"] == "3");
    CHECK(all["tcp_user_timeout"] == "15000");
    CHECK((!all.contains("keepalives") || all["keepalives"] == "1"));
}

TEST_CASE("settings become words of the server's command line, whatever is in them") {
    connect_options options = somewhere();
    options.settings = {{"search_path", "a, \"b c\""}, {"x.y", "back\\slash"}, {"z.z", ""}};
    CHECK(told(options)["options"] == "-c search_path=a,\\ \"b\\ c\" -c x.y=back\\\\slash -c z.z=");
    options.options = "-c geqo=off";
    CHECK(told(options)["options"].starts_with("-c geqo=off -c search_path="));
}

TEST_CASE("the environment's options do not reach a session that did not ask for them") {
    const test::scoped_variable variable("PGOPTIONS", "-c geqo=off");
    CHECK(told(somewhere())["options"] == " ");
}

TEST_CASE("what libpq would take from the environment by itself gets its default instead") {
    const test::scoped_variable name("PGSSLSNI", "0");
    const test::scoped_variable limit("PGCONNECT_TIMEOUT", "1");  // has no default
    const test::scoped_variable user("PGUSER", "eve");
    CHECK(told(somewhere())["sslsni"] == "1");
    CHECK_FALSE(told(somewhere()).contains("connect_timeout"));
    CHECK(told(somewhere())["user"] == somewhere().user);
    connect_options options = somewhere();
    options.extra_parameters = {{"sslsni", "0"}};
    CHECK(told(options)["sslsni"] == "0");
    // libpq 17 knows it and would begin TLS without asking first.
    const test::scoped_variable direct("PGSSLNEGOTIATION", "direct");
    CHECK(told(somewhere()).contains("sslnegotiation") == is_libpq_keyword("sslnegotiation"));
}

TEST_CASE("nothing is said about options where there are none, as some poolers refuse them") {
    const test::scoped_variable variable("PGOPTIONS", std::nullopt);
    CHECK_FALSE(told(somewhere()).contains("options"));
}

TEST_CASE("extra parameters have the last word, and only those without an option may be given") {
    connect_options options = somewhere();
    options.extra_parameters = {{"keepalives_idle", "77"}};
    CHECK(complaint(options).empty());
    CHECK(told(options)["keepalives_idle"] == "77");
    for (const char* keyword : {"host", "password", "client_encoding", "options", "nonsense"}) {
        options.extra_parameters = {{keyword, "x"}};
        CHECK(complaint(options).find(keyword) != std::string::npos);
    }
}

TEST_CASE("options that cannot be are refused by name") {
    CHECK(complaint(connect_options()).find("hosts is empty") != std::string::npos);
    connect_options options = somewhere();
    options.settings = {{"a b", "c"}};
    CHECK(complaint(options).find("\"a b\"") != std::string::npos);
    options.settings = {{"a", std::string("\0", 1)}};
    CHECK_FALSE(complaint(options).empty());
    options = somewhere();
    options.hosts[0].port = 0;
    CHECK(complaint(options).find("port 0") != std::string::npos);
    options = somewhere();
    options.hosts = {{"", 5432, "10.0.0.1"}};
    CHECK(complaint(options).empty());
}

}  // namespace
