// Every call of the client against the real server, and every way it can fail.
#include <bitdotio/client.hpp>
#include <bitdotio/error.hpp>

#include "support/child.hpp"
#include "support/database.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"
#include "support/text.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace bitdotio;
using namespace std::chrono_literals;
using asio::awaitable;
using test::mentions;

using work = awaitable<void> (*)(client);

awaitable<void> with_client(client_options options, work what) {
    client service(co_await asio::this_coro::executor, std::move(options));
    co_await what(service);
    co_await service.close();
}

// The error a call ends with.
error failure_of(const client_options& options, work what) {
    return test::error_of(with_client(options, what));
}

awaitable<void> list(client service) {
    co_await service.list_databases();
}

awaitable<void> one_lifetime(client service) {
    const database made =
        co_await service.create_database("life", visibility::public_, std::int64_t{10'000'000});
    CHECK(made.name.full() == "local/life");
    CHECK(!made.id.empty());
    CHECK(made.visible == visibility::public_);
    CHECK(made.role == role::owner);
    CHECK(made.storage_limit_bytes == 10'000'000);
    REQUIRE(made.date_created.has_value());
    const auto age = std::chrono::system_clock::now() - *made.date_created;
    CHECK(age > -1min);
    CHECK(age < 10min);

    const std::vector<database> all = co_await service.list_databases();
    REQUIRE(all.size() == 1);
    CHECK(all[0].id == made.id);

    CHECK((co_await service.get_database("local/life")).id == made.id);
    // The service's connection strings write the name like this.
    CHECK((co_await service.get_database("local.life")).id == made.id);

    database_changes changes;
    changes.visible = visibility::private_;
    const database hidden = co_await service.update_database("local/life", changes);
    CHECK(hidden.visible == visibility::private_);
    CHECK(hidden.name == made.name);
    CHECK(hidden.storage_limit_bytes == 10'000'000);

    database_changes renaming;
    renaming.name = "second-life";
    CHECK((co_await service.update_database("local/life", renaming)).name.full() ==
          "local/second-life");

    co_await service.delete_database("local/second-life");
    CHECK((co_await service.list_databases()).empty());
}

awaitable<void> both_formats(client service) {
    const std::string sql =
        "SELECT 1 AS a, NULL AS b, true AS c, 2.5::float8 AS d, 'x\"é' AS e, '{\"k\": [1]}'::jsonb "
        "AS f";
    for (const data_format format : {data_format::rows, data_format::objects}) {
        const query_result answer = co_await service.query("local/db", sql, format);
        CHECK(answer.query_string == sql);
        REQUIRE(answer.columns.size() == 6);
        CHECK(answer.columns[0] == query_result::column{"a", "integer"});
        CHECK(answer.columns[5] == query_result::column{"f", "jsonb"});
        REQUIRE(answer.rows.size() == 1);
        const std::vector<query_value>& row = answer.rows[0];
        CHECK(row.at(0) == query_value(std::int64_t{1}));
        CHECK(row.at(1) == query_value());
        CHECK(row.at(2) == query_value(true));
        CHECK(row.at(3) == query_value(2.5));
        CHECK(row.at(4) == query_value(std::string("x\"é")));
        CHECK(row.at(5) == query_value(std::string("{\"k\":[1]}")));
        CHECK(answer.data_json.starts_with(format == data_format::rows ? "[[" : "[{"));
    }
    const query_result nothing =
        co_await service.query("local/db", "CREATE TABLE t (x integer)", data_format::rows);
    CHECK(nothing.rows.empty());
    CHECK(nothing.data_json == "[]");
}

awaitable<void> both_roads(client service) {
    bitdotio::pool pool = service.pool("local/db");
    co_await pool.query("CREATE TABLE road (x integer)");
    connection own = co_await service.connect("local/db");
    co_await own.query("INSERT INTO road VALUES ($1)", 5);
    const query_result seen = co_await service.query("local/db", "SELECT x FROM road");
    CHECK(seen.rows.at(0).at(0) == query_value(std::int64_t{5}));
    co_await own.close();
}

awaitable<void> one_pool(client service) {
    bitdotio::pool first = service.pool("local/db");
    const client copy = service;
    bitdotio::pool second = client(copy).pool("local/db");
    co_await first.query("SELECT 1");
    CHECK((co_await second.statistics()).acquired == 1);
}

awaitable<void> drop_missing(client service) {
    co_await service.delete_database("local/missing");
}
awaitable<void> get_missing(client service) {
    co_await service.get_database("local/missing");
}
awaitable<void> query_missing(client service) {
    co_await service.query("local/missing", "SELECT 1");
}
awaitable<void> query_nonsense(client service) {
    co_await service.query("local/db", "SELEKT 1");
}
awaitable<void> query_constraint(client service) {
    co_await service.query("local/db", "SELECT 1 / 0");
}
awaitable<void> query_long(client service) {
    co_await service.query("local/db", "SELECT pg_sleep(30)");
}
// On an open connection: the deadline ends the call, not a handshake.
awaitable<void> query_long_when_connected(client service) {
    bool connected = false;
    while (!connected) {
        try {
            co_await service.list_databases();
            connected = true;
        } catch (const error& failure) {
            if (failure.code() != errc::timeout) throw;
        }
    }
    co_await query_long(service);
}
awaitable<void> create_taken(client service) {
    co_await service.create_database("db");
}
awaitable<void> create_nameless(client service) {
    co_await service.create_database("");
}
awaitable<void> create_too_long(client service) {
    co_await service.create_database("a-name-of-thirty-characters-xx");
}
awaitable<void> pool_query(client service) {
    bitdotio::pool pool = service.pool("local/db");
    co_await pool.query("SELECT 1");
}

}  // namespace

TEST_CASE("a database is made, listed, told of, changed, renamed and deleted") {
    test::test_server server;
    test::run(with_client(server.client_options(), one_lifetime));
}

TEST_CASE("a query gives the same values in both formats") {
    test::database one;
    test::run(with_client(one.server.client_options(), both_formats));
}

TEST_CASE("HTTP, pool and own connection see the same database") {
    test::database one;
    test::run(with_client(one.server.client_options(), both_roads));
}

TEST_CASE("all copies of a client share one pool for each database") {
    test::database one;
    test::run(with_client(one.server.client_options(), one_pool));
}

TEST_CASE("what the service refuses has an errc, the HTTP status and the server's words") {
    test::database one;
    client_options good = one.server.client_options();
    client_options stranger = good;
    stranger.key.emplace("v2_stranger");
    struct refusal {
        client_options options;
        work what;
        errc code;
        int status;
        std::string words;
    };
    const std::vector<refusal> table = {
        {stranger, list, errc::authentication_failed, 401, "key"},
        {good, get_missing, errc::not_found, 404, "local/missing"},
        {good, drop_missing, errc::not_found, 404, "local/missing"},
        {good, query_missing, errc::not_found, 404, "local/missing"},
        {good, create_taken, errc::conflict, 409, "db"},
        {good, query_nonsense, errc::query_failed, 400, "syntax error"},
        {good, query_constraint, errc::query_failed, 400, "division by zero"},
    };
    for (const refusal& one_refusal : table) {
        const error failure = failure_of(one_refusal.options, one_refusal.what);
        CAPTURE(failure.what());
        CHECK(failure.code() == one_refusal.code);
        CHECK(failure.http_status() == one_refusal.status);
        CHECK(mentions(failure.what(), one_refusal.words));
        CHECK(!failure.http_body().empty());
        CHECK(failure.outcome() == outcome::not_executed);
        CHECK(failure.attempts() == 1);
        CHECK(!mentions(failure.what(), good.key->reveal()));
        CHECK(!mentions(failure.what(), "v2_stranger"));
    }
    CHECK(failure_of(good, query_nonsense).sqlstate() == "42601");
}

TEST_CASE("a name the service would not take is refused before anything is sent") {
    test::test_server server;
    for (const work what : {create_nameless, create_too_long}) {
        const error failure = failure_of(server.client_options(), what);
        CHECK(failure.code() == errc::bad_input);
        CHECK(failure.http_status() == 0);
        CHECK(mentions(failure.what(), "23"));
    }
}

TEST_CASE("a server signed by another authority is not spoken to, on either road") {
    test::database one;
    test::test_server other;
    client_options distrustful = one.server.client_options();
    distrustful.ca_file = other.ca_file();
    for (const work what : {list, pool_query}) {
        const error failure = failure_of(distrustful, what);
        CAPTURE(failure.what());
        CHECK(failure.code() == errc::tls_failed);
        CHECK(failure.outcome() == outcome::not_sent);
        CHECK(failure.attempts() == 1);
    }
    // The system's authorities do not know it either.
    distrustful.ca_file.clear();
    CHECK(failure_of(distrustful, list).code() == errc::tls_failed);
}

TEST_CASE("a certificate of another host does not verify") {
    test::test_server server;
    client_options elsewhere = server.client_options();
    // The same server by an address that its certificate does not name.
    elsewhere.api_url = "https://127.0.0.2:" + std::to_string(server.api_port());
    asio::io_context io;
    asio::ip::tcp::socket probe(io);
    boost::system::error_code refused;
    probe.connect({asio::ip::make_address("127.0.0.2"), server.api_port()}, refused);
    if (refused) {
        // It listens on 127.0.0.1 only: a relay connects the two addresses.
        test::child relay({"perl", "-MIO::Socket::INET", "-e",
                           "$|=1; my $l=IO::Socket::INET->new(LocalAddr=>'127.0.0.2',Listen=>1);"
                           "print 'port ',$l->sockport,\"\\n\"; my $c=$l->accept;"
                           "my $s=IO::Socket::INET->new('127.0.0.1:" +
                               std::to_string(server.api_port()) +
                               "'); if(fork){while(sysread($c,$_,9999)){syswrite($s,$_)}}"
                               "else{while(sysread($s,$_,9999)){syswrite($c,$_)}}"},
                          {});
        const std::string said = relay.read_until("port ");
        elsewhere.api_url = "https://127.0.0.2:" + std::to_string(std::stoi(said.substr(5)));
        CHECK(failure_of(elsewhere, list).code() == errc::tls_failed);
        return;
    }
    CHECK(failure_of(elsewhere, list).code() == errc::tls_failed);
}

TEST_CASE("a server that is gone is tried as often as the options say, then named") {
    client_options options;
    {
        test::test_server server;
        options = server.client_options();
        // The file is removed with the server; what was read from it stays.
        options.ca_file.clear();
    }
    options.retry.max_attempts = 3;
    options.retry.first_delay = 1ms;
    const error failure = failure_of(options, list);
    CHECK(failure.code() == errc::connect_failed);
    CHECK(failure.attempts() == 3);
    CHECK(failure.outcome() == outcome::not_sent);
    CHECK(mentions(failure.what(), options.api_url.substr(8)));
}

TEST_CASE("a call ends by its deadline, and says that its outcome is unknown") {
    test::database one;
    client_options hasty = one.server.client_options();
    hasty.request_timeout = 500ms;
    const auto begin = std::chrono::steady_clock::now();
    const error failure = failure_of(hasty, query_long_when_connected);
    CHECK(failure.code() == errc::timeout);
    CHECK(failure.outcome() == outcome::unknown);
    CHECK(std::chrono::steady_clock::now() - begin < 5s);
}

TEST_CASE("a server that accepts and says nothing is left by the deadline, nothing sent") {
    asio::io_context io;
    asio::ip::tcp::acceptor silent(io, {asio::ip::make_address("127.0.0.1"), 0});
    client_options options;
    options.key.emplace("v2_any");
    options.api_url = "https://127.0.0.1:" + std::to_string(silent.local_endpoint().port());
    options.postgres_host = "127.0.0.1";
    options.postgres_port = 1;
    options.request_timeout = 200ms;
    const error failure = failure_of(options, list);
    CHECK(failure.code() == errc::timeout);
    CHECK(failure.outcome() == outcome::not_sent);
}

TEST_CASE("a cancelled call ends at once, and the client works on") {
    test::database one;
    asio::io_context io;
    client service(io.get_executor(), one.server.client_options());
    asio::cancellation_signal signal;
    std::exception_ptr cancelled, afterwards;
    std::chrono::steady_clock::time_point asked, ended;
    const auto then = [&](std::exception_ptr thrown) {
        ended = std::chrono::steady_clock::now();
        cancelled = thrown;
        asio::co_spawn(io, both_formats(service),
                       [&](std::exception_ptr last) { afterwards = last; });
    };
    asio::co_spawn(io, query_long(service), asio::bind_cancellation_slot(signal.slot(), then));
    // The query wakes the database, so once it is awake the query has been sent.
    asio::steady_timer soon(io);
    std::function<void(boost::system::error_code)> look = [&](boost::system::error_code) {
        if (one.server.is_asleep(one.name)) {
            soon.expires_after(5ms);
            soon.async_wait(look);
        } else {
            asked = std::chrono::steady_clock::now();
            signal.emit(asio::cancellation_type::terminal);
        }
    };
    look({});
    io.run_for(60s);
    REQUIRE(cancelled);
    try {
        std::rethrow_exception(cancelled);
    } catch (const error& failure) {
        CHECK(failure.code() == errc::cancelled);
        CHECK(failure.outcome() == outcome::unknown);
    }
    CHECK(ended - asked < 5s);
    CHECK(!afterwards);
}

TEST_CASE("options that cannot be are refused when the client is made") {
    asio::io_context io;
    client_options good;
    good.key.emplace("v2_any");
    good.api_url = "https://127.0.0.1:1";
    good.postgres_host = "127.0.0.1";
    good.postgres_port = 1;
    CHECK_NOTHROW(client(io.get_executor(), good));

    const auto complaint = [&](const client_options& bad) -> std::string {
        try {
            client(io.get_executor(), bad);
        } catch (const error& failure) {
            CHECK(failure.code() == errc::bad_input);
            return failure.what();
        }
        return "";
    };
    client_options bad = good;
    bad.api_url = "http://127.0.0.1:1";
    CHECK(mentions(complaint(bad), "https://"));
    bad = good;
    bad.ca_file = "/nowhere/ca.pem";
    CHECK(mentions(complaint(bad), "/nowhere/ca.pem"));
    bad = good;
    bad.pool.min_size = 5;
    bad.pool.max_size = 5;
    CHECK(mentions(complaint(bad), "max_size"));
}
