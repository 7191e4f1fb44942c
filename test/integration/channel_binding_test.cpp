// Logins at the Postgres endpoint by SCRAM, bound to the TLS channel or not.
#include "support/api_calls.hpp"
#include "support/child.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"
#include "support/wire_client.hpp"
#include "support/wire_sessions.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace std::string_literals;
using test::run;
using test::test_server;
using test::wire_client;
namespace asio = boost::asio;

namespace {

test::ending psql(const test_server& server, const std::string& database, const std::string& key,
                  const std::string& binding) {
    return test::run_program({"psql", "-X", "-A", "-t", "-c", "SELECT 6 * 7"},
                             {{"PGHOST", server.postgres_host()},
                              {"PGPORT", std::to_string(server.postgres_port())},
                              {"PGDATABASE", database},
                              {"PGUSER", "anybody"},
                              {"PGPASSWORD", key},
                              {"PGCHANNELBINDING", binding},
                              {"PGSSLMODE", "verify-full"},
                              {"PGSSLROOTCERT", server.ca_file()}});
}

// A key of the right form that is not one.
std::string altered(const test_server& server) {
    std::string key = server.key().reveal();
    key.back() = key.back() == 'x' ? 'y' : 'x';
    return key;
}

// The answer to a first SASL message.
asio::awaitable<test::reply> answer_to(const test_server& server, std::string bytes) {
    wire_client client(co_await asio::this_coro::executor);
    co_await client.connect_securely(server.postgres_port());
    const std::string wish = test::startup({{"user", "anybody"}, {"database", "local/bound"}});
    co_await client.send(wish);
    const test::reply offer = co_await client.receive();
    CHECK(offer.type == 'R');
    CHECK(offer.body == test::number(10) + "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"s);
    co_await client.send(bytes);
    co_return co_await client.receive();
}

std::string sasl(const std::string& mechanism, const std::string& text) {
    return test::message(
        'p', mechanism + '\0' + test::number(static_cast<std::uint32_t>(text.size())) + text);
}

}  // namespace

TEST_CASE("libpq logs in with channel binding required, preferred and disabled") {
    test_server server;
    const std::string name = server.create_database("bound").full();
    for (const char* binding : {"require", "prefer", "disable"}) {
        CAPTURE(binding);
        const test::ending right = psql(server, name, server.key().reveal(), binding);
        CHECK(right.out == "42\n");
        CHECK(right.err == "");
        const test::ending wrong = psql(server, name, altered(server), binding);
        CHECK(wrong.status == 2);
        CHECK(wrong.err.find("password authentication failed for user \"anybody\"") !=
              std::string::npos);
    }
    const test::ending unknown = psql(server, "local/none", server.key().reveal(), "require");
    CHECK(unknown.err.find("database \"local/none\" does not exist") != std::string::npos);
}

TEST_CASE("wrong proofs of an address count as wrong keys, and a right one is let in") {
    test_server server;
    const std::string name = server.create_database("counted").full();
    const test::api_calls stranger(server, altered(server));
    CHECK(stranger("GET", "/db/").status == 401);
    for (int i = 0; i < 40; ++i) {
        const test::reply refusal = run(test::answer_to_login(server, name, altered(server)));
        CHECK(refusal.field('C') == "28P01");
    }
    CHECK(stranger("GET", "/db/").status == 429);
    CHECK(psql(server, name, server.key().reveal(), "require").out == "42\n");
}

TEST_CASE("messages of SASL that break the rules are refused with PostgreSQL's SQLSTATE") {
    test_server server;
    const std::string rest = ",,n=,r=abcdefgh";
    const auto state_of = [&](const std::string& bytes) {
        return run(answer_to(server, bytes)).field('C');
    };
    CHECK(run(answer_to(server, sasl("SCRAM-SHA-256", "n" + rest))).type == 'R');
    // It could bind the channel and was not told that we can: somebody sits in between.
    CHECK(state_of(sasl("SCRAM-SHA-256", "y" + rest)) == "28000");
    CHECK(state_of(sasl("SCRAM-SHA-256-PLUS", "p=tls-unique" + rest)) == "08P01");
    CHECK(state_of(sasl("PLAIN", "n" + rest)) == "08P01");
    CHECK(state_of(sasl("SCRAM-SHA-256", std::string(5'000, 'n'))) == "08P01");
    CHECK(state_of(test::message('p', server.key().reveal() + '\0')) == "08P01");
    CHECK(state_of(test::message('Q', "SELECT 1\0"s)) == "08P01");
}
