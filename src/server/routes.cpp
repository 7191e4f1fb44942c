// Requests to catalog, cluster and queries; errors to status codes.
#include <bitdotio/error.hpp>

#include "api_codec.hpp"
#include "json_fields.hpp"
#include "query_codec.hpp"
#include "server/api_error.hpp"
#include "server/query_runner.hpp"
#include "server/records.hpp"
#include "server/routes.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <utility>

namespace bitdotio {

namespace {

constexpr std::string_view scheme = "bearer ";

bool begins_with_scheme(std::string_view header) {
    if (header.size() < scheme.size()) return false;
    for (std::size_t i = 0; i < scheme.size(); ++i) {
        const char c = header[i];
        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != scheme[i]) return false;
    }
    return true;
}

// PostgreSQL's words, as people know them from psql, on one line each.
std::string sql_message(const error& failure) {
    const server_message& said = failure.server();
    if (said.message.empty()) return failure.what();
    std::string text = said.severity + ":  " + said.sqlstate + ": " + said.message;
    if (said.position > 0) text += "\nPOSITION:  " + std::to_string(said.position);
    if (!said.detail.empty()) text += "\nDETAIL:  " + said.detail;
    if (!said.hint.empty()) text += "\nHINT:  " + said.hint;
    return text;
}

http_response refusal(const error& failure) {
    if (!failure.sqlstate().empty()) {
        // Class 53 and 57P are the instance's trouble, all else is the statement's.
        const bool ours = failure.code() == errc::server_busy ||
                          failure.code() == errc::database_asleep ||
                          failure.code() == errc::connection_lost;
        return api_error(ours ? 503 : 400, sql_message(failure), failure.sqlstate());
    }
    switch (failure.code()) {
        case errc::bad_input: return api_error(400, failure.what(), "bad_input");
        case errc::authentication_failed: return unauthorized(failure.what());
        case errc::permission_denied: return api_error(403, failure.what(), "permission_denied");
        case errc::not_found: return api_error(404, failure.what(), "not_found");
        case errc::conflict: return api_error(409, failure.what(), "conflict");
        case errc::query_failed: return api_error(400, failure.what(), "query_failed");
        case errc::timeout: return api_error(504, failure.what(), "timeout");
        case errc::database_asleep:
        case errc::connection_lost:
        case errc::connect_failed:
        case errc::server_busy: return api_error(503, failure.what(), "unavailable");
        default: return api_error(500, failure.what(), "internal");
    }
}

}  // namespace

asio::awaitable<http_response> routes::answer(http_request request) const {
    const route target = find_route(request.method, request.target);
    std::exception_ptr thrown;
    try {
        co_return co_await dispatch(request, target);
    } catch (...) {
        thrown = std::current_exception();
    }
    try {
        std::rethrow_exception(thrown);
    } catch (const api::malformed_body& failure) {
        co_return unprocessable(failure.field(), failure.what(), "value_error");
    } catch (const error& failure) {
        co_return refusal(failure);
    }
}

asio::awaitable<http_response> routes::dispatch(const http_request& request,
                                                const route& target) const {
    const job_route job = job_route::find(request.method, request.target);
    if (job.what == job_route::call::download) {
        co_return co_await jobs_->download(job, request);
    }
    if (job.what != job_route::call::none) {
        std::string asking = co_await authorize(request.authorization);
        co_return co_await jobs_->answer(std::move(asking), job, request);
    }
    if (target.call == api_call::unknown_path) {
        co_return api_error(404, "there is no such path in this API: " + request.target,
                            "not_found");
    }
    if (target.call == api_call::wrong_method) {
        http_response refused = api_error(
            405, request.method + " is not a method of this path: " + "use " + target.allow);
        refused.allow = target.allow;
        co_return refused;
    }
    if (target.call == api_call::health) {
        co_return http_response(200, R"({"status":"ok"})");
    }
    std::string user = co_await authorize(request.authorization);
    switch (target.call) {
        case api_call::list_databases: co_return co_await list_databases(std::move(user));
        case api_call::create_database:
            co_return co_await create_database(std::move(user), request.body);
        case api_call::query:
            co_return co_await query(std::move(user), request.body, target.objects);
        default: break;
    }
    const database_name name(target.database);
    switch (target.call) {
        case api_call::update_database:
            co_return co_await update_database(std::move(user), name, request.body);
        case api_call::delete_database: co_return co_await delete_database(std::move(user), name);
        default: co_return co_await get_database(std::move(user), name);
    }
}

asio::awaitable<std::string> routes::authorize(const std::string& header) const {
    if (!begins_with_scheme(header)) {
        throw error(errc::authentication_failed,
                    "no API key: send the header \"Authorization: Bearer v2_…\"");
    }
    std::string_view text = std::string_view(header).substr(scheme.size());
    while (text.starts_with(' ')) {
        text.remove_prefix(1);
    }
    std::optional<api_key> key;
    try {
        key.emplace(text);
    } catch (const error& malformed) {
        throw malformed.with_code(errc::authentication_failed);
    }
    co_return co_await catalog_->user_of(*key);
}

asio::awaitable<std::int64_t> routes::storage_of(std::string id) const {
    try {
        co_return co_await cluster_->storage_bytes(std::move(id));
    } catch (const error& failure) {
        if (failure.code() != errc::not_found) throw;  // deleted between two steps of a call
    }
    co_return 0;
}

asio::awaitable<std::string> routes::described(database known) const {
    known.storage_usage_bytes = co_await storage_of(known.id);
    co_return api::encode(known);
}

asio::awaitable<http_response> routes::list_databases(std::string user) const {
    std::vector<database> known = co_await catalog_->list(std::move(user));
    for (database& one : known) {
        one.storage_usage_bytes = co_await storage_of(one.id);
    }
    co_return http_response(200, api::encode(known));
}

asio::awaitable<http_response> routes::create_database(std::string user,
                                                       const std::string& body) const {
    const api::create_request wish = api::decode_create_request(body);
    // Before the files are made, which takes longer than to say no.
    const database_name name(user + "/" + wish.name);
    for (const database& one : co_await catalog_->list(user)) {
        if (one.name == name) {
            co_return api_error(409, "there is a database \"" + name.full() + "\" already",
                                "conflict");
        }
    }
    const std::string id = records::new_id();
    co_await cluster_->create(id);
    std::exception_ptr failure;
    database known;
    try {
        const bool is_private = wish.visible == visibility::private_;
        known =
            co_await catalog_->create(id, user, wish.name, is_private, wish.storage_limit_bytes);
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        co_await cluster_->remove(id);
        std::rethrow_exception(failure);
    }
    co_return http_response(201, co_await described(known));
}

asio::awaitable<http_response> routes::get_database(std::string user, database_name name) const {
    const database known = co_await catalog_->find(std::move(user), std::move(name));
    co_return http_response(200, co_await described(known));
}

asio::awaitable<http_response> routes::update_database(std::string user, database_name name,
                                                       const std::string& body) const {
    const database_changes changes = api::decode_database_changes(body);
    const database known = co_await catalog_->update(std::move(user), std::move(name), changes);
    co_return http_response(200, co_await described(known));
}

asio::awaitable<http_response> routes::delete_database(std::string user, database_name name) const {
    database known = co_await catalog_->find(user, name);
    known.storage_usage_bytes = co_await storage_of(known.id);
    // Out of the catalog first: a crash in between leaves files that the next start removes.
    co_await catalog_->remove(std::move(user), std::move(name));
    co_await cluster_->remove(known.id);
    co_return http_response(200, api::encode(known));
}

asio::awaitable<http_response> routes::query(std::string user, const std::string& body,
                                             bool objects) const {
    const api::query_request wish = api::decode_query_request(body);
    const database_name name(wish.database_name);
    const database known = co_await catalog_->find(std::move(user), name);
    const lease awake = co_await cluster_->hold(known.id);
    const query_result answer = co_await run_query(awake.socket_directory(), wish.query_string);
    co_return http_response(
        200, api::encode_query_answer(answer, objects ? data_format::objects : data_format::rows));
}

}  // namespace bitdotio
