// Passes requests to catalog and databases; turns errors into status codes.
#include <bitdotio/error.hpp>

#include "server/api/api_error.hpp"
#include "server/api/authorization_header.hpp"
#include "server/api/refusal.hpp"
#include "server/api/routes.hpp"
#include "server/catalog/key_secret.hpp"
#include "service/api_codec.hpp"
#include "service/json_fields.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <optional>
#include <string_view>
#include <utility>

namespace bitdotio {

asio::awaitable<std::optional<http_response>> routes::admit(http_request& request) const {
    std::exception_ptr thrown;
    try {
        co_return co_await judge(request);
    } catch (...) {
        thrown = std::current_exception();
    }
    co_return refusal_of(thrown);
}

asio::awaitable<http_response> routes::answer(http_request request) const {
    std::exception_ptr thrown;
    try {
        co_return co_await dispatch(request);
    } catch (...) {
        thrown = std::current_exception();
    }
    co_return refusal_of(thrown);
}

// All that can be said of a request without its body.
asio::awaitable<std::optional<http_response>> routes::judge(http_request& request) const {
    const route& to = request.to;
    if (to.allow.empty()) {
        // Without the parameters, which may hold a key.
        co_return api_error(404, "there is no such path in this API: " + to.path, "not_found");
    }
    if (!to.call) {
        http_response refused =
            api_error(405, request.method + " is not a method of this path: " + "use " + to.allow);
        refused.allow = to.allow;
        co_return refused;
    }
    if (to.who == audience::anyone) co_return std::nullopt;
    request.who = co_await authorize(request);
    switch (*to.call) {
        case api_call::start_import: co_return co_await jobs_->judge_import(request);
        case api_call::update_database:
        case api_call::start_export:
            co_await catalog_->find(*request.who, name_in_path(to.database()));
            break;
        default: break;
    }
    co_return std::nullopt;
}

asio::awaitable<http_response> routes::dispatch(const http_request& request) const {
    const route& to = request.to;
    switch (*to.call) {
        case api_call::health: co_return http_response(200, R"({"status":"ok"})");
        case api_call::download: co_return co_await jobs_->download(request);
        default: break;
    }
    caller who = request.who.value();
    switch (*to.call) {
        case api_call::list_databases: co_return co_await list_databases(std::move(who));
        case api_call::create_database:
            co_return co_await create_database(std::move(who), request.body);
        case api_call::query: co_return co_await query(std::move(who), request);
        case api_call::get_database:
            co_return co_await get_database(std::move(who), name_in_path(to.database()));
        case api_call::update_database:
            co_return co_await update_database(std::move(who), name_in_path(to.database()),
                                               request.body);
        case api_call::delete_database:
            co_return co_await delete_database(std::move(who), name_in_path(to.database()));
        case api_call::start_import:
        case api_call::start_export:
        case api_call::import_status:
        case api_call::export_status: co_return co_await jobs_->answer(std::move(who), request);
        default: co_return co_await about_accounts(std::move(who), to);
    }
}

asio::awaitable<caller> routes::authorize(const http_request& request) const {
    std::string refused;
    std::optional<api_key> key;
    if (const auto bearer = authorization_value(request.authorization, "bearer")) {
        try {
            key.emplace(*bearer);
        } catch (const error& malformed) {
            refused = malformed.what();
        }
    } else {
        refused = "no API key: send the header \"Authorization: Bearer v2_…\"";
    }
    if (!key) {
        co_await catalog_->note_failure(request.peer);
        throw error(errc::authentication_failed, refused);
    }
    caller who = co_await catalog_->admit_call(*key, request.peer);
    if (request.account) *request.account = who.name;
    co_return who;
}

asio::awaitable<std::string> routes::described(database known) const {
    known.storage_usage_bytes = co_await quota_->used(known.id);
    co_return api::encode(known);
}

asio::awaitable<http_response> routes::list_databases(caller who) const {
    std::vector<database> known = co_await catalog_->list(std::move(who));
    std::vector<std::string> ids;
    ids.reserve(known.size());
    for (const database& one : known) {
        ids.push_back(one.id);
    }
    const std::vector<std::int64_t> used = co_await quota_->used_by(std::move(ids));
    for (std::size_t i = 0; i < known.size(); ++i) {
        known[i].storage_usage_bytes = used[i];
    }
    co_return http_response(200, api::encode(known));
}

asio::awaitable<http_response> routes::create_database(caller who, const std::string& body) const {
    const api::create_request wish = api::decode_create_request(body);
    // Checked before the files are made, which takes longer than a refusal.
    co_await catalog_->check_free(who, wish.name);
    co_await disk_->check();
    const std::string id = new_id();
    co_await databases_->create(id);
    std::exception_ptr failure;
    database known;
    try {
        const bool is_private = wish.visible == visibility::private_;
        known = co_await catalog_->create(who, id, wish.name, is_private, wish.storage_limit_bytes);
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        co_await databases_->remove(id);
        std::rethrow_exception(failure);
    }
    co_return http_response(201, co_await described(known));
}

asio::awaitable<http_response> routes::get_database(caller who, database_name name) const {
    const database known = co_await catalog_->find(std::move(who), std::move(name));
    co_return http_response(200, co_await described(known));
}

asio::awaitable<http_response> routes::update_database(caller who, database_name name,
                                                       const std::string& body) const {
    const database_changes changes = api::decode_database_changes(body);
    const database known = co_await catalog_->update(std::move(who), std::move(name), changes);
    if (changes.storage_limit_bytes) {
        co_await quota_->check(known.id);
    }
    co_return http_response(200, co_await described(known));
}

asio::awaitable<http_response> routes::delete_database(caller who, database_name name) const {
    database known = co_await catalog_->find(who, name);
    known.storage_usage_bytes = co_await quota_->used(known.id);
    // Removed from the catalog first: a crash in between leaves files that the next start removes.
    co_await catalog_->remove(std::move(who), std::move(name));
    sessions_->forget(known.id);
    co_await databases_->remove(known.id);
    co_return http_response(200, api::encode(known));
}

asio::awaitable<http_response> routes::about_accounts(caller who, const route& to) const {
    http_response done(200, "{}");
    const std::string account = to.parts.named("account");
    switch (to.call.value()) {
        case api_call::list_accounts:
            done.body = api::encode(co_await catalog_->accounts(std::move(who)));
            break;
        case api_call::get_account:
            done.body = api::encode(co_await catalog_->find_account(std::move(who), account));
            break;
        case api_call::create_account_key:
            done.body = api::encode(co_await catalog_->add_account_key(std::move(who), account));
            break;
        case api_call::revoke_account_keys:
            co_await catalog_->revoke_account_keys(std::move(who), account);
            break;
        case api_call::create_key:
            done.body = api::encode(co_await catalog_->add_key(std::move(who)));
            break;
        default: {
            const auto given = query_parameter(to.query, "api_key");
            std::optional<api_key> key;
            if (given) key.emplace(*given);
            co_await catalog_->revoke_keys(std::move(who), std::move(key));
        }
    }
    co_return done;
}

}  // namespace bitdotio
