// Servers that are not who they should be, and encrypted connections that end with or without
// close_notify.
#include "fault/parked_clients.hpp"
#include "fault/place_writes.hpp"
#include "fault/proxied_pool.hpp"
#include "support/certificates.hpp"
#include "support/invariants.hpp"
#include "support/run.hpp"

#include "server/tls/tls_identity.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using namespace std::chrono_literals;
using bitdotio::connection;
using bitdotio::errc;
using std::chrono::steady_clock;
using test::all_places;
using test::any_message;
using test::before;
using test::fault;
using test::fault_place;
using test::fault_proxy;
using test::ledger;
using test::meaning;
using test::private_postgres;
using test::rows;
using test::side;

constexpr const char* ours = "bitdotio";
constexpr const char* password = "known to few";

private_postgres& server() {
    static private_postgres instance([] {
        test::private_postgres_options options;
        options.tls = true;
        options.hba =
            "hostssl all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        return options;
    }());
    return instance;
}

struct impostor {
    std::string name;
    const char* certificate;  // null for a server that no longer has TLS
};

const impostor impostors[] = {
    {"TLS refused", nullptr},
    {"certificate of another authority", "unknown"},
    {"certificate expired", "expired"},
    {"certificate of another host", "elsewhere"},
};

void make_certificates() {
    const fs::path home = server().tls_directory();
    const fs::path stranger = home / "stranger";
    bitdotio::open_tls_identity(stranger, "127.0.0.1");
    test::issue_server_certificate(home, "unknown", "127.0.0.1", stranger);
    test::issue_server_certificate(home, "expired", "127.0.0.1", home, true);
    test::issue_server_certificate(home, "elsewhere", "elsewhere.test", home);
}

void change(const std::string& setting) {
    server().run("ALTER SYSTEM " + setting);
    server().run("SELECT pg_reload_conf()");
}

void disguise(const impostor& who) {
    change(who.certificate ? "SET ssl_cert_file = '" +
                                 (server().tls_directory() / who.certificate).string() + ".pem'"
                           : "SET ssl = off");
}

void undisguise(const impostor& who) {
    change(who.certificate ? "RESET ssl_cert_file" : "RESET ssl");
}

// Until a dial fails with `wanted`, or succeeds: the server takes a moment to read its settings.
asio::awaitable<void> until_dialling(bitdotio::connect_options options,
                                     std::optional<errc> wanted) {
    options.wake_timeout = 0ms;
    options.application_name = "herald";
    const auto deadline = steady_clock::now() + 10s;
    for (;;) {
        std::optional<errc> met;
        try {
            connection c = co_await connection::open(options);
            co_await c.close();
        } catch (const bitdotio::error& failure) {
            test::expect_discreet(failure);
            met = failure.code();
        }
        if (met == wanted) {
            co_return;
        }
        REQUIRE(steady_clock::now() < deadline);
        co_await test::rest(5ms);
    }
}

asio::awaitable<void> meet(const impostor& who) {
    constexpr std::size_t callers = 21;
    server().run("TRUNCATE ledger");
    const bitdotio::connect_options options = server().over_tcp("tester", password);
    bitdotio::pool_options limits;
    limits.max_size = 5;
    bitdotio::pool pool(co_await asio::this_coro::executor, options, limits);
    ledger book;
    co_await test::open_all(pool, 4);
    bitdotio::pooled_connection lent = co_await pool.acquire();
    const int backend = lent->backend_pid();
    disguise(who);
    co_await until_dialling(options, errc::tls_failed);
    server().run(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = "
        "'bitdotio' AND pid <> pg_backend_pid() AND pid <> " +
        std::to_string(backend));

    const auto before = co_await pool.statistics();
    const auto begin = steady_clock::now();
    auto fail = [&](std::size_t i) -> asio::awaitable<void> {
        const fault_place where = test::parked_places[i % std::size(test::parked_places)];
        const auto failure = co_await test::write_at(where, pool, book);
        REQUIRE(failure);
        INFO(std::string(failure->what()));
        CHECK(failure->code() == errc::tls_failed);
        CHECK(failure->outcome() == bitdotio::outcome::not_sent);
    };
    test::expect_none(co_await test::gather(callers, fail));
    const auto slowest = steady_clock::now() - begin;
    const auto after = co_await pool.statistics();
    CHECK(after.connects - before.connects <= bitdotio::pool_options().max_connecting);
    CHECK_FALSE(co_await test::write_one(*lent, book));  // an open session is not affected
    CHECK(lent->backend_pid() == backend);

    undisguise(who);
    co_await until_dialling(options, std::nullopt);
    co_await test::rest(260ms);  // the refusal is remembered for so long
    auto succeed = [&](std::size_t i) -> asio::awaitable<void> {
        const fault_place where = test::parked_places[i % std::size(test::parked_places)];
        const auto failure = co_await test::write_at(where, pool, book);
        INFO(std::string(failure ? failure->what() : ""));
        CHECK_FALSE(failure);
    };
    test::expect_none(co_await test::gather(callers, succeed));
    lent.release();
    co_await test::expect_at_rest(pool);
    bitdotio::connect_options direct = server().superuser();
    direct.application_name = "direct";
    connection last = co_await connection::open(direct);
    co_await test::expect_gone(pool, last, ours);
    const test::verdict found = co_await test::check(book, last);
    test::expect_clean(found);
    co_await last.close();
    test::figures figures;
    figures.runs = 2 * callers;
    figures.writes = book.counts();
    figures.violations = found.violations.size();
    figures.slowest = std::chrono::duration_cast<std::chrono::milliseconds>(slowest);
    test::report(29, who.name,
                 "pool.query, lease, transaction, pipeline, COPY, row stream, connecting", figures);
}

TEST_CASE("a server that cannot prove who it is gets nothing, and everybody is told at once") {
    server().run(std::string("CREATE ROLE tester LOGIN PASSWORD '") + password + "'");
    server().run(std::string(ledger::create) + "; GRANT ALL ON ledger TO tester");
    make_certificates();
    const test::descriptor_baseline descriptors;
    for (const impostor& who : impostors) {
        CAPTURE(who.name);
        test::run(meet(who));
    }
    descriptors.expect();
    server().run("DROP TABLE ledger");
}

fault ended(std::string name, meaning means, std::function<void(fault_proxy&)> arm) {
    fault made;
    made.number = 30;
    made.name = std::move(name);
    made.means = means;
    made.left = rows::all;
    made.arm = std::move(arm);
    return made;
}

TEST_CASE("over TLS an end with close_notify or without is an end") {
    const auto cut = [](fault_proxy& proxy) { proxy.cut(); };
    const auto terminate = [](fault_proxy&) {
        server().run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
            "'proxied_pool'");
    };
    const auto cut_reply = [](fault_proxy& proxy) {
        proxy.set(before(side::backend, any_message).cut());
    };
    const auto end_reply = [](fault_proxy& proxy) {
        proxy.set(before(side::backend, any_message).half_close());
    };
    test::run_everywhere(
        {ended("TLS, FIN without close_notify while idle", meaning::known, cut),
         ended("TLS, close_notify while idle", meaning::known, terminate),
         ended("TLS, FIN without close_notify, reply lost", meaning::lost, cut_reply),
         ended("TLS, FIN from the server only, reply lost", meaning::lost, end_reply)},
        all_places(), 2s, server());
}

}  // namespace
