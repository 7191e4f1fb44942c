// Passes requests to catalog, databases and queries; turns errors into status codes.
#include <bitdotio/error.hpp>

#include "server/api/api_error.hpp"
#include "server/api/authorization_header.hpp"
#include "server/api/query_runner.hpp"
#include "server/api/refusal.hpp"
#include "server/api/routes.hpp"
#include "server/catalog/key_secret.hpp"
#include "server/hosts/session_role.hpp"
#include "service/api_codec.hpp"
#include "service/json_fields.hpp"
#include "service/query_codec.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <optional>
#include <string_view>
#include <utility>

namespace bitdotio {

namespace {

// Thrown for what a database over its limit does not take.
class over_limit : public error {
public:
    explicit over_limit(const char* help)
        : error(errc::permission_denied, "the database is over its storage limit"), help_(help) {}
    const char* help() const noexcept { return help_; }

private:
    const char* help_;
};

// Giving space back after a statement was undone may not keep its caller waiting for long.
constexpr std::chrono::seconds vacuum_patience{60};

http_response storage_refusal(const database& known, std::int64_t used, const char* help) {
    return api_error(403,
                     "the database \"" + known.name.full() +
                         "\" is over its storage limit, and read-only: " + std::to_string(used) +
                         " bytes are used of " +
                         std::to_string(known.storage_limit_bytes.value_or(0)),
                     "storage_limit_exceeded", help);
}

// Nothing if the request asks for a format that there is not.
std::optional<data_format> asked_format(std::string_view parameters) {
    const std::string wish = query_parameter(parameters, "data_format").value_or("");
    if (wish.empty() || wish == "rows") return data_format::rows;
    if (wish == "objects") return data_format::objects;
    return std::nullopt;
}

constexpr const char* free_space =
    "Send one DELETE, TRUNCATE, DROP or VACUUM FULL at a time through this call to free space, or "
    "raise storage_limit_bytes.";
constexpr const char* was_undone =
    "The statement was undone: it, or a trigger or function it calls, wrote more than it may in a "
    "database over its limit. Use DROP, or raise storage_limit_bytes.";
constexpr const char* only_drops =
    "An earlier statement that was to free space wrote instead, so that only DROP is taken. Send "
    "one DROP at a time through this call, or raise storage_limit_bytes.";

}  // namespace

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

asio::awaitable<std::int64_t> routes::storage_of(std::string id) const {
    try {
        co_return co_await databases_->storage_bytes(std::move(id));
    } catch (const error& failure) {
        if (failure.code() != errc::not_found) throw;  // deleted between two steps of a call
    }
    co_return 0;
}

asio::awaitable<std::string> routes::described(database known) const {
    known.storage_usage_bytes = co_await storage_of(known.id);
    co_return api::encode(known);
}

asio::awaitable<http_response> routes::list_databases(caller who) const {
    std::vector<database> known = co_await catalog_->list(std::move(who));
    for (database& one : known) {
        one.storage_usage_bytes = co_await storage_of(one.id);
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
    known.storage_usage_bytes = co_await storage_of(known.id);
    // Removed from the catalog first: a crash in between leaves files that the next start removes.
    co_await catalog_->remove(std::move(who), std::move(name));
    co_await databases_->remove(known.id);
    co_return http_response(200, api::encode(known));
}

asio::awaitable<http_response> routes::query(caller who, const http_request& request) const {
    const std::optional<data_format> format = asked_format(request.to.query);
    if (!format) {
        co_return unprocessable("data_format",
                                "the parameter \"data_format\" must be objects or rows",
                                "value_error", "query");
    }
    const api::query_request wish = api::decode_query_request(request.body);
    const database_name name(wish.database_name);
    const std::string account = who.account;
    const database known = co_await catalog_->find(std::move(who), name);
    const char* help = nullptr;
    try {
        query_answer answer = co_await run(known, account, wish.query_string, *format);
        catalog_->count_rows(known.id, answer.rows);
        co_return std::move(answer.response);
    } catch (const over_limit& refused) {
        help = refused.help();
    }
    co_return storage_refusal(known, co_await storage_of(known.id), help);
}

query_terms routes::terms_of(data_format format) const {
    query_terms terms;
    terms.timeout = query_timeout_;
    terms.largest_answer = largest_answer_;
    terms.directory = databases_->directory();
    terms.format = format;
    return terms;
}

asio::awaitable<query_answer> routes::run(const database& known, std::string account,
                                          std::string sql, data_format format) const {
    const bool writes = known.role != role::reader;
    const storage_state storage = co_await quota_->state(known.id);
    const bool over = storage != storage_state::writable;
    const std::optional<freeing> frees = frees_space(sql);
    if (over && writes && frees) {
        co_return co_await free(known, std::move(account), std::move(sql), format, *frees);
    }
    if (storage == storage_state::closed) throw over_limit(free_space);
    const bool limited = over && writes;
    const std::string role = limited ? session_roles::limited : session_role(known.role);
    query_answer answer;
    std::optional<error> failure;
    try {
        answer = co_await run_awake(known.id, role, std::move(account), std::move(sql),
                                    terms_of(format));
    } catch (const error& thrown) {
        failure = thrown;
    }
    // A failed statement also takes space.
    if (writes) co_await quota_->check(known.id);
    if (failure && limited && (failure->sqlstate() == "25006" || failure->sqlstate() == "42501")) {
        throw over_limit(free_space);
    }
    if (failure) throw *failure;
    co_return answer;
}

// Runs a statement that frees space, and undoes one that does not.
asio::awaitable<query_answer> routes::free(const database& known, std::string account,
                                           std::string sql, data_format format,
                                           freeing what) const {
    std::shared_ptr<void> right = co_await quota_->let_free(known.id, what);
    if (!right) throw over_limit(only_drops);
    const time_point begin = std::chrono::steady_clock::now();
    bool undone = false;
    query_terms terms = terms_of(format);
    terms.single = true;            // nothing else may be sent along
    if (what != freeing::copies) {  // VACUUM runs in no transaction
        terms.may_commit = [&]() -> asio::awaitable<bool> {
            const bool good = co_await quota_->may_commit(known.id);
            undone = !good;
            co_return good;
        };
    }
    query_answer answer;
    std::optional<error> failure;
    try {
        answer =
            co_await run_awake(known.id, session_role(known.role), account, std::move(sql), terms);
    } catch (const error& thrown) {
        failure = thrown;
    }
    if (failure && !undone) undone = co_await quota_->has_ended_writers(known.id, begin);
    if (undone) co_await vacuum(known.id, account);
    right.reset();
    co_await quota_->check(known.id);
    if (undone) throw over_limit(was_undone);
    if (failure) throw *failure;
    co_return answer;
}

// What an undone statement wrote stays in the files until they are vacuumed.
asio::awaitable<void> routes::vacuum(std::string id, std::string account) const {
    query_terms terms = terms_of(data_format::rows);
    terms.timeout = vacuum_patience;
    terms.single = true;
    try {
        co_await run_awake(std::move(id), session_roles::owner, std::move(account), "VACUUM",
                           terms);
    } catch (const error&) {
        // It took too long, or made the database grow: the next measurement decides.
    }
}

asio::awaitable<query_answer> routes::run_awake(std::string id, std::string role,
                                                std::string account, std::string sql,
                                                query_terms terms) const {
    std::optional<error> failure;
    for (int tries = 0; tries < 2; ++tries) {
        lease awake;
        bool held = false;
        try {
            awake = co_await databases_->hold(id);
            held = true;
            const session_target where = co_await awake.session(role, account);
            co_return co_await run_query(where, sql, terms);
        } catch (const error& thrown) {
            failure = thrown;
        }
        // The database was put to sleep before the session began: the next life takes it. Or what
        // a key has changed kept us out. Nothing was sent.
        if (failure->phase() != phase::connecting) break;
        if (held && tries == 0) co_await awake.mend();
    }
    throw *failure;
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
