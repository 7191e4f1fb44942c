// Runs queries: in which role and session, and within the storage limit.
#include <bitdotio/error.hpp>

#include "server/api/api_error.hpp"
#include "server/api/query_runner.hpp"
#include "server/api/query_sessions.hpp"
#include "server/api/routes.hpp"
#include "server/hosts/session_role.hpp"
#include "service/api_codec.hpp"
#include "service/json_fields.hpp"
#include "service/query_codec.hpp"

#include <boost/asio/use_awaitable.hpp>

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
    co_return storage_refusal(known, co_await quota_->used(known.id), help);
}

query_terms routes::terms_of(data_format format) const {
    query_terms terms;
    terms.timeout = query_timeout_;
    terms.largest_answer = largest_answer_;
    terms.directory = databases_->directory();
    terms.room = room_;
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
    if (writes && (over || failure || answer.may_have_written)) {
        co_await quota_->check(known.id);
    }
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
    query_terms terms = terms_of(format);
    terms.single = true;            // nothing else may be sent along
    if (what != freeing::copies) {  // VACUUM runs in no transaction
        terms.may_commit = [&] { return quota_->may_commit(known.id, right); };
    }
    query_answer answer;
    std::optional<error> failure;
    try {
        answer =
            co_await run_awake(known.id, session_role(known.role), account, std::move(sql), terms);
    } catch (const error& thrown) {
        failure = thrown;
    }
    bool undone = false;
    if (what != freeing::drops) undone = co_await quota_->settle(known.id, right);
    undone = undone && failure;
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
    const query_place place(id, role, account);
    // A statement that is watched on its own ends with its session.
    bool may_keep = !terms.single;
    bool has_failed = false;
    for (;;) {
        lease awake;
        bool held = false;
        bool kept = false;
        std::optional<error> failure;
        try {
            awake = co_await databases_->hold(id);
            held = true;
            query_session one;
            one.place = place;
            if (may_keep) one = co_await sessions_->take(place);
            kept = static_cast<bool>(one);
            if (!kept) {
                session_target where = co_await awake.session(role, account);
                one = co_await sessions_->open(std::move(one), std::move(where));
            }
            query_answer answer = co_await run_query(one.session, sql, terms);
            if (answer.changed_settings) {
                sessions_->forget(id);
            } else if (!terms.single) {
                answer.may_have_written = co_await sessions_->give_back(std::move(one));
            }
            co_return answer;
        } catch (const error& thrown) {
            failure = thrown;
        }
        // PostgreSQL ended the session in the moment it was lent. Nothing was sent.
        if (kept && failure->code() == errc::connection_lost &&
            failure->outcome() == outcome::not_sent) {
            may_keep = false;
            continue;
        }
        // The database was put to sleep before the session began: the next life takes it. Or what
        // a key has changed kept us out. Nothing was sent.
        if (failure->phase() != phase::connecting || has_failed) throw *failure;
        has_failed = true;
        if (held) co_await awake.mend();
    }
}

}  // namespace bitdotio
