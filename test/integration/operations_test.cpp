// A server as its operators see it: health, metrics, status, sleep and wake, and its log.
#include <bitdotio/error.hpp>
#include <bitdotio/server_event.hpp>

#include "support/accounts.hpp"
#include "support/api_calls.hpp"
#include "support/child.hpp"
#include "support/moody_programs.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"
#include "support/text.hpp"
#include "support/wire_sessions.hpp"

#include <doctest/doctest.h>
#include <boost/asio/this_coro.hpp>
#include <boost/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;
using bitdotio::role;
using test::make_account;
using test::mentions;
using test::run;
using test::test_server;
namespace asio = boost::asio;
namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

std::string base64(const std::string& text) {
    constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (std::size_t i = 0; i < text.size(); i += 3) {
        unsigned bits = 0;
        for (std::size_t j = i; j < i + 3; ++j) {
            bits = bits << 8 | (j < text.size() ? static_cast<unsigned char>(text[j]) : 0U);
        }
        for (std::size_t j = 0; j < 4; ++j) {
            out += i + j > text.size() ? '=' : digits[bits >> (18 - 6 * j) & 63];
        }
    }
    return out;
}

// A request with the given "Authorization" header.
test::http_answer ask(const test_server& server, const std::string& method,
                      const std::string& target, const std::string& authorization = "",
                      const std::string& body = "") {
    std::string request = method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    if (!authorization.empty()) request += "Authorization: " + authorization + "\r\n";
    request += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    return test::https(server.api_port(), server.ca_file(), request);
}

std::string bearer(const test_server& server) {
    return "Bearer " + server.key().reveal();
}

// The value of a sample, as text.
std::string sample(const std::string& metrics, const std::string& name) {
    std::istringstream lines(metrics);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(name + " ")) return line.substr(name.size() + 1);
    }
    return "none";
}

asio::awaitable<bool> can_log_in(std::uint16_t port, std::string database, std::string key) {
    test::wire_client client(co_await asio::this_coro::executor);
    const bool admitted = co_await client.log_in(port, database, key);
    co_return admitted;
}

// The events that the log of a server received.
class event_list {
public:
    void add(const bitdotio::server_event& event) {
        const std::lock_guard held(mutex_);
        events_.push_back(event);
    }
    std::vector<bitdotio::server_event> all() const {
        const std::lock_guard held(mutex_);
        return events_;
    }
    std::vector<bitdotio::server_event> of(const std::string& kind) const {
        std::vector<bitdotio::server_event> found = all();
        std::erase_if(found, [&](const auto& event) { return event.kind != kind; });
        return found;
    }
    // Waits for one: some are logged after the client has its answer.
    bitdotio::server_event await(const std::string& kind) const {
        const auto deadline = std::chrono::steady_clock::now() + 20s;
        while (of(kind).empty() && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(5ms);
        }
        REQUIRE(!of(kind).empty());
        return of(kind).front();
    }

private:
    mutable std::mutex mutex_;
    std::vector<bitdotio::server_event> events_;
};

bitdotio::local_server_options logging_to(event_list& events) {
    bitdotio::local_server_options options;
    options.log = [&](const bitdotio::server_event& event) { events.add(event); };
    return options;
}

}  // namespace

TEST_CASE("health is told to anybody, metrics and status to the server's user alone") {
    test_server server;
    const auto name = server.create_database("one");
    const std::string robot = make_account(server, role::admin, {name}, "robot").key;

    const auto health = ask(server, "GET", "/healthz");
    CHECK(health.status == 200);
    CHECK(json::parse(health.body).at("status") == "ok");

    for (const char* path : {"/metrics", "/status", "/server/status", "/server/keys"}) {
        CAPTURE(path);
        const auto nobody = ask(server, "GET", path);
        CHECK(nobody.status == 401);
        CHECK(mentions(nobody.head, "WWW-Authenticate: Bearer\r\n"));
        CHECK(mentions(nobody.head, "WWW-Authenticate: Basic realm=\"bitdotio\", charset="));
        CHECK(ask(server, "GET", path, "Bearer v2_wrong").status == 401);
        CHECK(ask(server, "GET", path, "Basic " + base64("any:v2_wrong")).status == 401);
        CHECK(ask(server, "GET", path, "Basic !").status == 401);
        CHECK(ask(server, "GET", path, "Bearer " + robot).status == 403);
        CHECK(ask(server, "GET", path, bearer(server)).status == 200);
        CHECK(ask(server, "GET", path, "basic " + base64("any:" + server.key().reveal())).status ==
              200);
        const auto wrong = ask(server, "PATCH", path, bearer(server));
        CHECK(wrong.status == 405);
        CHECK(mentions(wrong.head, "Allow: "));
    }
    CHECK(ask(server, "GET", "/server/nothing", bearer(server)).status == 404);
    // A browser that knows the password also sends it with requests that other sites make it send.
    const std::string sleep = "/server/databases/local/one/sleep";
    CHECK(ask(server, "POST", sleep, "Basic " + base64("any:" + server.key().reveal())).status ==
          401);
    CHECK(ask(server, "POST", sleep, bearer(server)).status == 200);

    const auto page = ask(server, "GET", "/status", bearer(server));
    CHECK(mentions(page.head, "Content-Security-Policy: default-src 'none'; style-src 'sha256-"));
    CHECK(mentions(page.head, "Cache-Control: no-store"));
}

TEST_CASE("wrong keys at the operators' paths count as failed logins") {
    test_server server;
    unsigned status = 0;
    std::string head;
    for (int i = 0; i < 40 && status != 429; ++i) {
        const auto answer = ask(server, "GET", "/metrics", "Bearer v2_wrong");
        status = answer.status;
        head = answer.head;
    }
    CHECK(status == 429);
    CHECK(mentions(head, "Retry-After: "));
    CHECK(ask(server, "GET", "/metrics", bearer(server)).status == 200);
}

TEST_CASE("metrics are what has happened, in Prometheus' form, and name nobody") {
    test_server server;
    const auto name = server.create_database("measured");
    server.create_database("sleeping");
    const test::api_calls owner(server);
    CHECK(owner.query(name.full(), "SELECT generate_series(1, 7)").status == 200);
    CHECK(owner("GET", "/nothing").status == 404);
    CHECK_FALSE(run(can_log_in(server.postgres_port(), name.full(), "v2_wrong")));
    std::string metrics;
    test::with_wire_client(server, name, [&](test::wire_client&) -> asio::awaitable<void> {
        metrics = ask(server, "GET", "/metrics", bearer(server)).body;
        co_return;
    });
    CHECK(sample(metrics, "bitdotio_databases{state=\"awake\"}") == "1");
    CHECK(sample(metrics, "bitdotio_databases{state=\"asleep\"}") == "1");
    CHECK(sample(metrics, "bitdotio_wakes_total") == "1");
    CHECK(sample(metrics, "bitdotio_wake_failures_total") == "0");
    CHECK(sample(metrics, "bitdotio_wake_duration_seconds_count") == "1");
    CHECK(sample(metrics, "bitdotio_wake_duration_seconds_bucket{le=\"+Inf\"}") == "1");
    CHECK(sample(metrics, "bitdotio_connections_accepted_total") == "2");
    CHECK(sample(metrics, "bitdotio_sessions_open") == "1");
    CHECK(sample(metrics, "bitdotio_sessions_admitted_total") == "1");
    CHECK(sample(metrics, "bitdotio_sessions_refused_total{sqlstate=\"28P01\"}") == "1");
    CHECK(sample(metrics, "bitdotio_api_requests_total{code=\"2xx\"}") == "3");
    CHECK(sample(metrics, "bitdotio_api_requests_total{code=\"4xx\"}") == "1");
    CHECK(sample(metrics, "bitdotio_rows_queried_total") == "7");
    CHECK(sample(metrics, "bitdotio_jobs{state=\"DONE\"}") == "0");
    CHECK(std::stod(sample(metrics, "process_resident_memory_bytes")) > 1e6);
    CHECK(std::stod(sample(metrics, "process_open_fds")) > 3);
    CHECK_FALSE(mentions(metrics, "measured"));
    CHECK_FALSE(mentions(metrics, "local"));

    // Every sample belongs to the last family before it.
    std::istringstream lines(metrics);
    std::string family;
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("# HELP ")) continue;
        if (line.starts_with("# TYPE ")) {
            family = line.substr(7, line.find(' ', 7) - 7);
        } else {
            CHECK_MESSAGE(line.starts_with(family), line);
            CHECK_MESSAGE(!std::isnan(std::stod(line.substr(line.rfind(' ') + 1))), line);
        }
    }
}

TEST_CASE("the status page shows a browser databases, connections and jobs, and runs nothing") {
    test_server server;
    const auto name = server.create_database("shown");
    server.create_database("other");
    const std::string evil = "<script>document.title='evil'</script>";
    const std::string robot = make_account(server, role::reader, {name}, evil).key;
    const test::api_calls owner(server);
    const auto started =
        owner("POST", "/db/" + name.full() + "/export/",
              R"({"query_string":"SELECT 1 AS x","export_format":"csv","file_name":"x"})");
    CHECK_MESSAGE(started.status == 201, started.body);

    const test::temporary_directory scratch;
    const test::ending shown = run(50s, [&]() -> asio::awaitable<test::ending> {
        test::wire_client client(co_await asio::this_coro::executor);
        const bool admitted = co_await client.log_in(server.postgres_port(), name.full(), robot);
        CHECK(admitted);
        const std::string page = "https://operator:" + server.key().reveal() +
                                 "@127.0.0.1:" + std::to_string(server.api_port()) + "/status";
        co_return test::run_program(
            {"timeout", "40", "chromium", "--headless", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--ignore-certificate-errors",
             "--user-data-dir=" + (scratch / "profile").string(), "--dump-dom", page},
            {{"HOME", scratch.path().string()}});
    });
    REQUIRE_MESSAGE(shown.status == 0, shown.err);
    const std::string& page = shown.out;
    CAPTURE(page);
    CHECK(mentions(page, "<title>bitdotio</title>"));
    CHECK(mentions(page,
                   "<td>local/shown</td><td class=\"awake\">awake</td>"
                   "<td class=\"number\">1</td><td class=\"number\">1</td>"));
    CHECK(mentions(page,
                   "<td>local/other</td><td class=\"asleep\">asleep</td>"
                   "<td class=\"number\">0</td><td class=\"number\">0</td>"));
    CHECK(mentions(page, "not since the start"));
    CHECK(mentions(page, "<td>EXPORT</td><td>local/shown</td>"));
    CHECK(mentions(page, "<td>&lt;script&gt;document.title='evil'&lt;/script&gt;</td>"));
    CHECK_FALSE(mentions(page, "<script"));
}

TEST_CASE("operators put a database to sleep, wake it, and see both") {
    test_server server;
    const auto name = server.create_database("moved");
    const std::string path = "/server/databases/local/moved/";
    const auto state = [&] {
        const auto told = json::parse(ask(server, "GET", "/server/status", bearer(server)).body);
        return json::value_to<std::string>(told.at("databases").at(0).at("state"));
    };
    CHECK(state() == "asleep");
    CHECK(ask(server, "POST", path + "wake", bearer(server)).status == 200);
    CHECK(state() == "awake");
    CHECK_FALSE(server.is_asleep(name));
    CHECK(ask(server, "POST", path + "sleep", bearer(server)).status == 200);
    CHECK(state() == "asleep");
    CHECK(ask(server, "GET", path + "sleep", bearer(server)).status == 405);
    CHECK(ask(server, "POST", "/server/databases/local/none/wake", bearer(server)).status == 404);
}

TEST_CASE("a database whose start hangs is put to sleep within seconds") {
    const test::moody_programs programs;
    bitdotio::local_server_options options;
    options.postgres_programs = programs.path();
    test_server server(options);
    const auto name = server.create_database("stuck");
    programs.be("stubborn");  // ignores requests to stop
    const long before = programs.count();
    run([&]() -> asio::awaitable<void> {
        test::wire_client client(co_await asio::this_coro::executor);
        const std::string wish = test::startup({{"user", "u"}, {"database", name.full()}});
        co_await client.connect_securely(server.postgres_port());
        co_await client.send(wish);
        const bool shown = co_await client.show_key(server.key().reveal());
        CHECK(shown);
        while (programs.count() == before) {
            std::this_thread::yield();
        }
        client.close();
    });
    const auto begun = std::chrono::steady_clock::now();
    server.sleep(name);
    CHECK(std::chrono::steady_clock::now() - begun < 20s);
    programs.stop_being("stubborn");
    const test::api_calls owner(server);
    CHECK(owner.query(name.full(), "SELECT 1").status == 200);
}

TEST_CASE(
    "who is refused by a broken database learns nothing of the server's files; the log does") {
    const test::moody_programs programs;
    event_list events;
    bitdotio::local_server_options options = logging_to(events);
    options.postgres_programs = programs.path();
    test_server server(options);
    const auto name = server.create_database("broken");
    programs.be("broken");
    const test::api_calls owner(server);
    const auto answer = owner.query(name.full(), "SELECT 1");
    CHECK(answer.status == 503);
    CHECK(mentions(answer.body, "the database does not start"));
    CHECK_FALSE(mentions(answer.body, "out of luck"));
    const auto failed = events.of("wake_failed");
    CHECK(failed.size() == 3);
    CHECK(mentions(failed.front().text_of("reason"), "out of luck"));
}

TEST_CASE("a busy life is in the log, and no secret of it") {
    event_list events;
    std::set<std::string> secrets;
    std::string robot_key;
    {
        bitdotio::local_server_options options = logging_to(events);
        options.storage_check_interval = 50ms;
        test_server server(options);
        const auto name = server.create_database("busy");
        secrets.insert(server.key().reveal());
        robot_key = make_account(server, role::writer, {name}, "robot").key;
        secrets.insert(robot_key);
        const test::api_calls owner(server);
        const std::string further = test::field_of(owner("POST", "/api-key/"), "api_key");
        secrets.insert(further);
        CHECK(owner("DELETE", "/api-key/?api_key=" + further).status == 200);
        CHECK(owner("GET", "/v2_inthepath_whichisnoplace/x?token=inthequery").status == 404);
        secrets.insert({"inthepath", "inthequery"});
        CHECK(ask(server, "GET", "/metrics", "Basic " + base64("any:v2_wrongbasic")).status == 401);
        secrets.insert("wrongbasic");
        CHECK(owner.query(name.full(), "SELECT 'verysecretvalue' AS x").status == 200);
        CHECK(owner.query(name.full(), "SELECT verysecretvalue").status == 400);
        secrets.insert("verysecretvalue");
        CHECK(owner.query(name.full(), "CREATE ROLE x PASSWORD 'pwd4711'").status == 400);
        secrets.insert("pwd4711");
        owner("POST", "/db/" + name.full() + "/import/",
              R"({"table_name":"t","file_url":"http://joe:urlpassword@127.0.0.1:1/f?sig=urlsig"})");
        secrets.insert({"urlpassword", "urlsig"});
        const auto exported = owner(
            "POST", "/db/" + name.full() + "/export/",
            R"({"query_string":"SELECT 'exportedsecret'","export_format":"csv","file_name":"x"})");
        CHECK_MESSAGE(exported.status == 201, exported.body);
        secrets.insert("exportedsecret");
        events.await("job_ended");
        secrets.insert({"wrongpassword", "insession"});
        run([&]() -> asio::awaitable<void> {
            const auto executor = co_await asio::this_coro::executor;
            test::wire_client stranger(executor);
            const bool let_in = co_await stranger.log_in(server.postgres_port(), name.full(),
                                                         "v2_wrongpassword_wrong");
            CHECK_FALSE(let_in);
            test::wire_client client(executor);
            const bool admitted =
                co_await client.log_in(server.postgres_port(), name.full(), robot_key);
            CHECK(admitted);
            co_await client.query("SELECT 'insession'");
            client.close();
        });
        events.await("session_ended");
        const auto limit = owner("PATCH", "/db/" + name.full(), R"({"storage_limit_bytes":1})");
        CHECK_MESSAGE(limit.status == 200, limit.body);
        events.await("storage_limit_reached");
        server.sleep(name);
        events.await("sleep");
        server.stop();
    }
    for (const char* kind :
         {"start", "certificate_loaded", "account_made", "key_made", "key_revoked", "wake", "sleep",
          "session_admitted", "session_ended", "session_refused", "api_request", "job_ended",
          "storage_limit_reached", "stop"}) {
        CHECK_MESSAGE(!events.of(kind).empty(), kind);
    }
    for (const auto& event : events.all()) {
        for (const std::string& secret : secrets) {
            CHECK_MESSAGE(!mentions(event.json(), secret), event.json());
            CHECK_MESSAGE(!mentions(event.text(), secret), event.text());
        }
    }
    CHECK(events.of("session_refused").front().text_of("sqlstate") == "28P01");
    CHECK(events.of("session_admitted").front().text_of("account") == "robot");
    CHECK(events.of("session_admitted").front().text_of("database") == "local/busy");
    const auto requests = events.of("api_request");
    CHECK(std::any_of(requests.begin(), requests.end(), [](const auto& event) {
        return event.text_of("path") == "/v2beta/query" && event.text_of("status") == "400" &&
               event.text_of("account") == "local" && event.text_of("method") == "POST";
    }));
}

TEST_CASE("without durability PostgreSQL waits for no disk, and only in a temporary directory") {
    bitdotio::local_server_options options;
    for (const bool durable : {true, false}) {
        CAPTURE(durable);
        options.durable = durable;
        test_server server(options);
        const auto name = server.create_database("fast");
        const test::api_calls owner(server);
        const auto answer =
            owner.query(name.full(),
                        "SELECT string_agg(setting, ',') FROM pg_settings WHERE name IN "
                        "('fsync', 'synchronous_commit', 'full_page_writes')");
        CHECK(mentions(answer.body, durable ? "on,on,on" : "off,off,off"));
    }
    const test::temporary_directory scratch;
    options.data_directory = scratch / "data";
    CHECK_THROWS_AS(test_server{options}, bitdotio::error);
    CHECK_FALSE(fs::exists(options.data_directory));
}
