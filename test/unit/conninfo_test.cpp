// Connection strings and variables as options: libpq parses them, we interpret them.
#include "postgres/conninfo.hpp"
#include "support/text.hpp"

#include <bitdotio/connect_options.hpp>

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace bitdotio;
using namespace std::chrono_literals;
using test::mentions;

std::string complaint(const std::string& text) {
    try {
        connect_options::parse(text);
    } catch (const error& failure) {
        CHECK(failure.code() == errc::bad_input);
        return failure.what();
    }
    return "";
}

TEST_CASE("keywords and values become the options of those names") {
    const auto options = connect_options::parse(
        "host=one.example port=5433 user=ann password='it\\'s \\'odd\\'' dbname='my shop' "
        "application_name=till options='-c geqo=off' connect_timeout=7 sslmode=verify-ca "
        "sslrootcert=/ca.pem sslcrl=/crl.pem sslcert=/me.pem sslkey=/me.key sslpassword=hush "
        "ssl_min_protocol_version=TLSv1.3 channel_binding=require "
        "target_session_attrs=prefer-standby passfile=/secrets");
    REQUIRE(options.hosts.size() == 1);
    CHECK(options.hosts[0] == host_port("one.example", 5433));
    CHECK(options.user == "ann");
    CHECK(options.password == "it's 'odd'");
    CHECK(options.database == "my shop");
    CHECK(options.application_name == "till");
    CHECK(options.options == "-c geqo=off");
    CHECK(options.connect_timeout == 7s);
    CHECK(options.tls == tls_mode::verify_ca);
    CHECK(options.ca_file == "/ca.pem");
    CHECK(options.crl_file == "/crl.pem");
    CHECK(options.certificate_file == "/me.pem");
    CHECK(options.key_file == "/me.key");
    CHECK(options.key_password == "hush");
    CHECK(options.min_tls_version == tls_version::v1_3);
    CHECK(options.channel_binding == channel_binding::require);
    CHECK(options.target_session_attrs == session_attributes::prefer_standby);
    CHECK(options.password_file == "/secrets");
    CHECK(options.extra_parameters.empty());
}

TEST_CASE("a URI says the same, with its percent signs taken away") {
    const auto options = connect_options::parse(
        "postgresql://ann:p%40ss@one.example:5433,[2001:db8::1]/my%20shop?sslmode=require"
        "&application_name=till");
    REQUIRE(options.hosts.size() == 2);
    CHECK(options.hosts[0] == host_port("one.example", 5433));
    CHECK(options.hosts[1] == host_port("2001:db8::1", 5432));
    CHECK(options.user == "ann");
    CHECK(options.password == "p@ss");
    CHECK(options.database == "my shop");
    CHECK(options.tls == tls_mode::require);
    CHECK(options.application_name == "till");
    CHECK(connect_options::parse("postgres://%2Ftmp%2Fdir/x").hosts.at(0).host == "/tmp/dir");
}

TEST_CASE("what a string does not mention keeps its default, above all the safe TLS mode") {
    const connect_options usual;
    const auto options = connect_options::parse("");
    CHECK(options.hosts.empty());
    CHECK(options.user == usual.user);
    CHECK(options.tls == tls_mode::verify_full);
    CHECK(options.connect_timeout == usual.connect_timeout);
    CHECK(options.application_name == "bitdotio");
    CHECK(options.password_file.empty());
    CHECK(connect_options::parse("fallback_application_name=x").application_name == "x");
    CHECK(
        connect_options::parse("fallback_application_name=x application_name=y").application_name ==
        "y");
}

TEST_CASE("lists of hosts, addresses and ports are walked side by side") {
    using hosts = std::vector<host_port>;
    const std::string socket = default_socket_directory();
    const std::vector<std::pair<std::string, hosts>> table{
        {"host=a,b", {{"a", 5432}, {"b", 5432}}},
        {"host=a,b port=1", {{"a", 1}, {"b", 1}}},
        {"host=a,b port=1,2", {{"a", 1}, {"b", 2}}},
        {"host=a,b port=,2", {{"a", 5432}, {"b", 2}}},
        {"host=/run/pg", {{"/run/pg", 5432}}},
        {"port=7", {{socket, 7}}},
        {"host=a,", {{"a", 5432}, {socket, 5432}}},
        {"hostaddr=10.0.0.1,10.0.0.2 port=3", {{"", 3, "10.0.0.1"}, {"", 3, "10.0.0.2"}}},
        {"host=a,b hostaddr=10.0.0.1,", {{"a", 5432, "10.0.0.1"}, {"b", 5432}}},
    };
    for (const auto& [text, wanted] : table) {
        CAPTURE(text);
        CHECK(connect_options::parse(text).hosts == wanted);
    }
    CHECK(mentions(complaint("host=a,b,c port=1,2"), "2 ports for 3 hosts"));
    CHECK(mentions(complaint("host=a hostaddr=1.1.1.1,2.2.2.2"), "hostaddr 2"));
    CHECK(mentions(complaint("host=a port=70000"), "port is \"70000\""));
    CHECK(mentions(complaint("host=a port=0"), "from 1 to 65535"));
}

TEST_CASE("a timeout of nothing or less means a very long time, as in libpq") {
    CHECK(connect_options::parse("connect_timeout=0").connect_timeout >= 1h);
    CHECK(connect_options::parse("connect_timeout=-1").connect_timeout >= 1h);
    CHECK(mentions(complaint("connect_timeout=soon"), "connect_timeout is \"soon\""));
}

TEST_CASE("a value that cannot be is named with those that can") {
    CHECK(mentions(complaint("sslmode=maybe"), "verify-full"));
    CHECK(mentions(complaint("target_session_attrs=writable"), "read-write"));
    CHECK(mentions(complaint("channel_binding=yes"), "require"));
    CHECK(mentions(complaint("ssl_min_protocol_version=SSLv3"), "tlsv1.2"));
    CHECK(mentions(complaint("client_encoding=LATIN1"), "utf8"));
    CHECK(complaint("client_encoding=UTF-8").empty());
    CHECK(mentions(complaint("service=shop"), "from_environment"));
}

TEST_CASE("an unknown keyword is named, in both forms") {
    CHECK(mentions(complaint("host=a hots=b"), "\"hots\""));
    CHECK(mentions(complaint("postgresql://a/b?hots=c"), "\"hots\""));
}

TEST_CASE("a string that cannot be read is refused without a word of it") {
    for (const char* text :
         {"postgresql://ann:s3cret@[::1/shop", "postgresql://ann:s3cret%zz@a/shop",
          "postgresql://ann:s3cret@a:1x/shop?y", "password=top s3cret", "password='s3cret",
          "postgresql://ann:s3cret@a/b?c", "postgresql://ann:s3cret@a/b?c=d=e", "host=a s3cret",
          "postgresql://ann:%00s3cret@a", "postgresql://a:b@[s3cret]x/"}) {
        CAPTURE(text);
        const std::string said = complaint(text);
        CHECK_FALSE(said.empty());
        CHECK_FALSE(mentions(said, "s3cret"));
    }
    CHECK(mentions(complaint(std::string("host=a\0b", 8)), "zero byte"));
}

TEST_CASE("what libpq knows and we have no option for is passed on") {
    const auto options = connect_options::parse("host=a keepalives_idle=33 requirepeer=postgres");
    using list = std::vector<std::pair<std::string, std::string>>;
    CHECK(options.extra_parameters == list{{"keepalives_idle", "33"}, {"requirepeer", "postgres"}});
}

TEST_CASE("the environment fills in only what has no value yet") {
    const std::map<std::string, std::string> world{
        {"PGHOST", "env.example"},     {"PGPORT", "1"},    {"PGUSER", "env"},
        {"PGSSLMODE", "require"},      {"PGDATABASE", ""}, {"PGSERVICE", "nowhere"},
        {"PGCLIENTENCODING", "LATIN1"}};
    conninfo given = parse_conninfo("user=me dbname=''");
    add_environment(given, [&](const char* name) -> const char* {
        const auto found = world.find(name);
        return found == world.end() ? nullptr : found->second.c_str();
    });
    const conninfo wanted{
        {"host", "env.example"}, {"port", "1"}, {"user", "me"}, {"sslmode", "require"}};
    CHECK(given == wanted);
}

}  // namespace
