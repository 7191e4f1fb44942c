// What operators read: metrics, log lines, the status page. Nothing in it may leak or break.
#include <doctest/doctest.h>

#include <bitdotio/error.hpp>
#include <bitdotio/server_event.hpp>

#include "server/api/status_page.hpp"
#include "server/base/event_log.hpp"
#include "server/base/metrics_text.hpp"
#include "server/gateway/startup_packet.hpp"
#include "server/instances/log_words.hpp"

#include <boost/system/system_error.hpp>

#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

using namespace bitdotio;

TEST_CASE("metrics have help and type, and labels that cannot break out") {
    metrics_text out;
    out.family("bitdotio_jobs", "gauge", "Jobs, by\nstate.");
    out.sample(2, {{"state", "DO\"NE\\\n"}});
    out.single("bitdotio_half", "gauge", "A half.", 0.5);
    CHECK(out.text() ==
          "# HELP bitdotio_jobs Jobs, by\\nstate.\n"
          "# TYPE bitdotio_jobs gauge\n"
          "bitdotio_jobs{state=\"DO\\\"NE\\\\\\n\"} 2\n"
          "# HELP bitdotio_half A half.\n"
          "# TYPE bitdotio_half gauge\n"
          "bitdotio_half 0.5\n");
}

TEST_CASE("a histogram's buckets add up, and the last one counts all") {
    duration_histogram durations;
    durations.add(0.04);
    durations.add(0.05);
    durations.add(300);
    metrics_text out;
    out.family("t", "histogram", "t");
    out.sample(durations);
    const std::string& text = out.text();
    CHECK(text.find("t_bucket{le=\"0.025\"} 0\n") != std::string::npos);
    CHECK(text.find("t_bucket{le=\"0.05\"} 2\n") != std::string::npos);
    CHECK(text.find("t_bucket{le=\"30\"} 2\n") != std::string::npos);
    CHECK(text.find("t_bucket{le=\"+Inf\"} 3\n") != std::string::npos);
    CHECK(text.find("t_sum 300.09\n") != std::string::npos);
    CHECK(text.find("t_count 3\n") != std::string::npos);
}

TEST_CASE("an event is one line, whatever is in it") {
    server_event event("wake");
    event.with("reason", "first\nsecond \"x\"").with("milliseconds", std::int64_t{42});
    event.with("seconds", 0.5);
    const std::string json = event.json();
    CHECK(json.starts_with("{\"time\":\""));
    CHECK(json.ends_with(
        R"(,"event":"wake","reason":"first\nsecond \"x\"","milliseconds":42,"seconds":5E-1})"));
    CHECK(json.find('\n') == std::string::npos);
    CHECK(event.text().find('\n') == std::string::npos);
    CHECK(event.text().find(" wake reason=\"first\\nsecond \\\"x\\\"\" milliseconds=42") !=
          std::string::npos);
    CHECK(event.text_of("milliseconds") == "42");
    CHECK(event.text_of("none").empty());
}

TEST_CASE("a path in the log has no query, no credentials and no key") {
    CHECK(loggable_path("/v2beta/db/?api_key=v2_secret") == "/v2beta/db/");
    CHECK(loggable_path("/v2beta/api-key/v2_abc_def/x") == "/v2beta/api-key/v2_…/x");
    CHECK(loggable_path("/v2beta/api-key/%76%32%5fabc_def") == "/v2beta/api-key/v2_…");
    CHECK(loggable_path("/a#v2_abc") == "/a");
    CHECK(loggable_path("https://user:secret@host/path") == "");
    CHECK(loggable_path("/" + std::string(5'000, 'a')).size() == 200);
}

TEST_CASE("of PostgreSQL's log only what cannot hold a statement is told") {
    const std::string said =
        "2024-05-06 07:08:09.123 UTC [42] LOG:  server process (PID 7) was terminated by signal 9\n"
        "2024-05-06 07:08:09.123 UTC [42] DETAIL:  Failed process was running: SELECT 'secret'\n"
        "\tFROM \"other secret\"\n"
        "2024-05-06 07:08:09.123 UTC [43] ERROR:  secret value\n"
        "2024-05-06 07:08:09.123 UTC [43] STATEMENT:  INSERT secret\n"
        "2024-05-06 07:08:09.123 UTC [42] FATAL:  could not write lock file\n"
        "error while loading shared libraries\n";
    CHECK(log_words(said) ==
          "LOG:  server process (PID 7) was terminated by signal 9; FATAL:  could not write lock "
          "file; error while loading shared libraries");
    // A piece from the middle of a long line.
    CHECK(log_words(std::string(1'000, 'x')).empty());
    CHECK(log_words("").empty());
}

TEST_CASE("the SQLSTATE of an error is found among its fields") {
    CHECK(error_field(wire_message::fatal("53300", "sorry", "wait"), 'C') == "53300");
    CHECK_FALSE(error_field("Z", 'C'));
    CHECK_FALSE(error_field(std::string("E\0\0\0\x06S\0", 7), 'C'));
}

TEST_CASE("what people named is text on the status page, wherever it stands") {
    const std::string evil = "<script>alert(1)</script>\"'&";
    server_view view;
    event_log::open_visit visit;
    visit.facts.database = "u/" + evil;
    visit.facts.account = evil;
    view.figures.visits[1] = visit;
    job_record job;
    job.database_id = evil;
    job.error_type = evil;
    job.id = "j";
    view.figures.moved["j"] = 5 << 20;
    view.jobs.push_back(job);
    const std::string html = status_page(view);
    CHECK(html.find("<script") == std::string::npos);
    CHECK(html.find("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;") != std::string::npos);
    CHECK(html.find("<td class=\"number\">5.0 MiB</td>") != std::string::npos);
    const std::string policy = status_page_policy();
    CHECK(policy.starts_with("default-src 'none'; style-src 'sha256-"));
    CHECK(policy.find("unsafe") == std::string::npos);
}

TEST_CASE("a failure inside is told by its part and reason, without words that may be secret") {
    std::vector<server_event> lines;
    const auto events =
        std::make_shared<event_log>([&](const server_event& event) { lines.push_back(event); });
    const auto reason_of = [&](auto thrown) {
        lines.clear();
        failure_report(events, "a server")(std::make_exception_ptr(thrown));
        REQUIRE(lines.size() == 1);
        CHECK(lines.front().kind == "internal_failure");
        CHECK(lines.front().text_of("part") == "a server");
        return lines.front().text_of("reason");
    };
    CHECK(reason_of(error(errc::system_failed, "the disk is full")) == "the disk is full");
    server_message said;
    said.sqlstate = "22P02";
    said.message = "invalid input syntax for type integer: \"hunter2\"";
    CHECK(reason_of(error(errc::query_failed, said.message).with(said)) ==
          std::string(to_string(errc::query_failed)) + ", SQLSTATE 22P02");
    const auto full = std::make_error_code(std::errc::no_space_on_device);
    CHECK(reason_of(std::system_error(full, "hunter2")) == full.message());
    CHECK(reason_of(boost::system::system_error(
              make_error_code(boost::system::errc::no_space_on_device), "hunter2")) ==
          full.message());
    CHECK(reason_of(std::runtime_error("hunter2")) == "std::runtime_error");
    CHECK(reason_of(std::string("hunter2")) == "something that is no std::exception");
    lines.clear();
    failure_report(events, "a server")(nullptr);
    failure_report(nullptr, "a server")(std::make_exception_ptr(1));
    CHECK(lines.empty());
}

TEST_CASE("what the network does to a connection is foreseen, what is thrown else is not") {
    CHECK_FALSE(is_unforeseen(nullptr));
    CHECK_FALSE(is_unforeseen(std::make_exception_ptr(error(errc::timeout, "late"))));
    const auto reset = make_error_code(boost::system::errc::connection_reset);
    CHECK_FALSE(is_unforeseen(std::make_exception_ptr(boost::system::system_error(reset))));
    CHECK(is_unforeseen(std::make_exception_ptr(std::bad_alloc())));
    CHECK(is_unforeseen(std::make_exception_ptr(1)));
}

TEST_CASE("a log that throws what is no exception does the event log no harm") {
    const auto events = std::make_shared<event_log>([](const server_event&) { throw 1; });
    CHECK_NOTHROW(events->tell(server_event("start")));
    CHECK_NOTHROW(failure_report(events, "a server")(std::make_exception_ptr(2)));
}

TEST_CASE("an event log counts what it is told, and a log that throws does it no harm") {
    std::vector<std::string> kinds;
    const auto events = std::make_shared<event_log>([&](const server_event& event) {
        kinds.push_back(event.kind);
        throw std::runtime_error("the disk is full");
    });
    instance_event woke;
    woke.kind = instance_event::what::woke;
    woke.id = "1";
    woke.took = std::chrono::milliseconds(40);
    events->note(woke);
    visit_facts facts;
    facts.database_id = "1";
    {
        const auto first = events->admitted(facts);
        const auto second = events->admitted(facts);
        CHECK(events->look().visits.size() == 2);
        CHECK(events->look().databases.at("1").sessions == 2);
    }
    events->moved("j", 3);
    events->moved("j", 4);
    CHECK(events->look().moved.at("j") == 7);
    events->job_ended("j", true);
    CHECK(events->look().moved.empty());
    CHECK(events->look().jobs_failed == 1);
    events->refused("28P01", "", "127.0.0.1");
    events->answered("GET", "/healthz", 200, std::chrono::seconds(0), "");
    const event_log::figures told = events->look();
    CHECK(told.wakes == 1);
    CHECK(told.wake_durations.count() == 1);
    CHECK(told.visits.empty());
    CHECK(told.sessions_admitted == 2);
    CHECK(told.databases.at("1").sessions == 0);
    CHECK(told.databases.at("1").last_used);
    CHECK(told.refused.at("28P01") == 1);
    CHECK(told.answers[2] == 1);
    CHECK(kinds == std::vector<std::string>{"wake", "session_admitted", "session_admitted",
                                            "session_ended", "session_ended", "session_refused",
                                            "api_request"});
}
