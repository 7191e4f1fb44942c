// The command "status": which service and whose key, or how a job is.
#include "cli/commands.hpp"

#ifndef BITDOTIO_WITHOUT_POSTGRES
#include <bitdotio/connection.hpp>
#endif

#include "base/deadline.hpp"
#include "cli/exit_codes.hpp"
#include "cli/output.hpp"
#include "service/api_codec.hpp"
#include "service/https_session.hpp"
#include "service/job_codec.hpp"
#include "service/json_fields.hpp"
#include "service/service_answer.hpp"

#include <boost/json.hpp>

#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bitdotio::cli {

namespace {

constexpr std::chrono::seconds answer_patience{30};
constexpr std::chrono::seconds postgres_patience{5};
// How our own server calls itself.
constexpr std::string_view our_server = "bitdotio/";

// What calls of the API found out.
struct reached {
    bool answers = false;
    bool key_is_good = false;
    std::string failure;  // empty if all is well
    std::string user;     // whose key it is, where that is known
    std::string server;   // its own words
    std::string server_version;
    std::string postgres_version;
    std::chrono::steady_clock::duration time{};
};

https_request request_of(const service_place& where, const char* target) {
    https_request request;
    request.target = target;
    request.authorization = "Bearer " + where.options.key->reveal();
    request.user_agent = where.options.user_agent;
    return request;
}

void read_databases(const std::string& body, reached& found) {
    for (const database& one : decoded(body, api::decode_databases)) {
        if (one.role == role::owner) found.user = std::string(one.name.user());
    }
}

// A database that is awake; empty for none, and where the answer is not that of "bit serve".
std::string awake_database(const std::string& body) {
    const boost::json::object told = api::parse_object(body);
    const boost::json::value* const all = api::find(told, "databases");
    if (!all || !all->is_array()) return "";
    for (const boost::json::value& each : all->as_array()) {
        if (!each.is_object()) continue;
        const boost::json::object& one = each.as_object();
        if (api::required_string(one, "state") == "awake") return api::required_string(one, "name");
    }
    return "";
}

#ifndef BITDOTIO_WITHOUT_POSTGRES
work ask_postgres(connect_options where, reached& found) {
    where.application_name = "bit status";
    where.wake_timeout = std::chrono::milliseconds(0);
    connection session = co_await connection::open(std::move(where));
    const result answer = co_await session.query("SHOW server_version");
    const std::string version = answer.one<std::string>();
    found.postgres_version = version.substr(0, version.find(' '));
    co_await session.close();
}
#endif

// Wakes nobody: one who is awake knows the version of PostgreSQL. That is worth no failure.
work look_at_postgres(const service_place& where, https_session& session,
                      [[maybe_unused]] reached& found) {
    std::exception_ptr failure;
    try {
        // Only those who operate the server get an answer.
        https_request request = request_of(where, "/server/status");
        const https_response answer =
            co_await session.request(std::move(request), deadline_after(postgres_patience));
        if (!is_success(answer)) co_return;
        const std::string awake = awake_database(answer.body);
        if (awake.empty()) co_return;
#ifndef BITDOTIO_WITHOUT_POSTGRES
        const client service(co_await asio::this_coro::executor, where.options);
        connect_options there = service.connect_options(database_name(awake));
        co_await with_deadline(ask_postgres(std::move(there), found),
                               deadline_after(postgres_patience));
#endif
    } catch (const error& thrown) {
        if (thrown.code() == errc::cancelled) failure = std::current_exception();
    }
    if (failure) std::rethrow_exception(failure);
}

work reach(const service_place& where, reached& found) {
    const auto executor = co_await asio::this_coro::executor;
    https_session session(executor, https_address::parse(where.options.api_url),
                          make_client_tls(where.options.ca_file));
    const auto begin = std::chrono::steady_clock::now();
    https_request request = request_of(where, "/v2beta/db/");
    const https_response answer =
        co_await session.request(std::move(request), deadline_after(answer_patience));
    found.time = std::chrono::steady_clock::now() - begin;
    found.answers = true;
    found.server = answer.server;
    if (found.server.starts_with(our_server)) {
        found.server_version = found.server.substr(our_server.size());
    }
    found.key_is_good = answer.status != 401 && answer.status != 403;
    if (!is_success(answer)) {
        found.failure = refused("list databases", answer).what();
        co_return;
    }
    read_databases(answer.body, found);
    if (found.server_version.empty() || !session.reusable()) co_return;
    co_await look_at_postgres(where, session, found);
}

void print_as_json(const service_place& where, const std::string& postgres,
                   const std::string& preferred, const reached& found) {
    boost::json::object all{
        {"api_url", where.options.api_url},
        {"postgres", postgres},
        {"profile", where.profile.file.string()},
        {"key_from", where.key_from},
        {"database", preferred},
        {"reachable", found.answers},
        {"milliseconds", std::chrono::duration_cast<std::chrono::milliseconds>(found.time).count()},
        {"version", BITDOTIO_VERSION}};
    if (found.answers) all["key_accepted"] = found.key_is_good;
    const auto put = [&](const char* name, const std::string& text) {
        if (!text.empty()) all[name] = text;
    };
    put("user", found.user);
    put("server", found.server);
    put("server_version", found.server_version);
    put("postgres_version", found.postgres_version);
    put("failure", found.failure);
    print_json(boost::json::serialize(all));
}

void print_for_people(const service_place& where, const std::string& postgres,
                      const std::string& preferred, const reached& found) {
    const auto line = [](const char* name, const std::string& text) {
        if (!text.empty()) print(std::string(name) + printable(text) + "\n");
    };
    line("API         ", where.options.api_url);
    line("Postgres    ", postgres.empty() ? "not known" : postgres);
    line("Profile     ", where.profile.name + " (" + where.profile.file.string() + ")");
    line("Key         ", "from " + where.key_from +
                             (found.user.empty() ? "" : ", of " + found.user) +
                             (found.answers && !found.key_is_good ? "; it is refused" : ""));
    line("Database    ", preferred);
    line("Reachable   ", found.answers ? "yes, after " + time_text(found.time) : "no");
    line("Server      ",
         found.server_version.empty() ? found.server : "bit serve " + found.server_version);
    line("PostgreSQL  ", found.postgres_version);
    line("bit         ", BITDOTIO_VERSION);
}

void show_service(const arguments& words) {
    const service_place where = find_service(words);
    reached found;
    try {
        run_at(where, [&](const asio::any_io_executor&) { return reach(where, found); });
    } catch (const interruption&) {
        throw;
    } catch (const error& failure) {
        found.failure = failure.what();
    }
    const std::string postgres =
        where.options.postgres_host.empty()
            ? ""
            : where.options.postgres_host + ":" + std::to_string(where.options.postgres_port);
    std::string preferred = database_of_environment();
    if (preferred.empty()) preferred = default_database(where.profile);
    if (wants_json(words)) {
        print_as_json(where, postgres, preferred, found);
    } else {
        print_for_people(where, postgres, preferred, found);
    }
    if (!found.failure.empty()) throw error(errc::api_failed, found.failure);
}

// A job's id does not tell what it is.
work show_job(client service, std::string id) {
    std::optional<import_job> found;
    try {
        found = co_await service.get_import(id);
    } catch (const error& failure) {
        if (failure.code() != errc::not_found) throw;
    }
    if (found) {
        print_json(api::encode(*found));
        co_return;
    }
    try {
        print_json(api::encode(co_await service.get_export(id)));
    } catch (const error& failure) {
        if (failure.code() != errc::not_found) throw;
        throw failure.with_message("there is no import and no export \"" + id + "\"");
    }
}

void run_status(const arguments& words) {
    if (words.words().empty()) {
        show_service(words);
        return;
    }
    const std::string id = words.words()[0];
    run_with_client(words, [&](client service) { return show_job(std::move(service), id); });
}

}  // namespace

std::vector<command> status_commands() {
    return {{"status",
             "",
             "Tell which service and whose key are used, or how an import or export is.",
             {},
             {"[ID]"},
             &run_status}};
}

}  // namespace bitdotio::cli
