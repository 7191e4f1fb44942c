// Checks who asks and for what, and carries it out.
#include "server/api/ops_routes.hpp"

#include <bitdotio/error.hpp>

#include "base/rfc3339.hpp"
#include "server/api/api_error.hpp"
#include "server/api/authorization_header.hpp"
#include "server/api/refusal.hpp"
#include "server/api/status_page.hpp"
#include "server/base/metrics_text.hpp"
#include "service/api_codec.hpp"
#include "service/json_fields.hpp"

#include <openssl/evp.h>
#include <boost/json.hpp>

#include <exception>
#include <optional>
#include <utility>

namespace bitdotio {

namespace {

namespace json = boost::json;
using api::text;

// Sent in addition to Bearer, which every 401 of the server has.
constexpr const char* challenge = "Basic realm=\"bitdotio\", charset=\"UTF-8\"";

// The password of "user:password" in base64; empty if malformed.
std::string password_of(std::string_view basic) {
    if (basic.empty() || basic.size() % 4 != 0 || basic.size() > 1'024) return {};
    std::string plain(basic.size(), '\0');
    const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(plain.data()),
                                     reinterpret_cast<const unsigned char*>(basic.data()),
                                     static_cast<int>(basic.size()));
    if (size < 0) return {};
    plain.resize(static_cast<std::size_t>(size));
    while (plain.ends_with('\0')) {  // where the padding was
        plain.pop_back();
    }
    const std::size_t colon = plain.find(':');
    return colon == std::string::npos ? std::string() : plain.substr(colon + 1);
}

http_response page(std::string body, std::string_view type) {
    http_response shown(200, std::move(body));
    shown.content_type = type;
    shown.headers = {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}};
    return shown;
}

json::value time_or_null(const std::optional<catalog_time>& when) {
    return when ? json::value(json::string(api::encode_time(*when))) : nullptr;
}

}  // namespace

asio::awaitable<std::optional<http_response>> ops_routes::admit(http_request& request) const {
    std::exception_ptr thrown;
    try {
        co_return co_await judge(request);
    } catch (...) {
        thrown = std::current_exception();
    }
    co_return refusal(thrown);
}

asio::awaitable<http_response> ops_routes::answer(http_request request) const {
    std::exception_ptr thrown;
    try {
        co_return co_await dispatch(request);
    } catch (...) {
        thrown = std::current_exception();
    }
    co_return refusal(thrown);
}

http_response ops_routes::refusal(const std::exception_ptr& thrown) const {
    http_response refused = refusal_of(thrown);
    if (refused.status == 401) refused.headers.emplace_back("WWW-Authenticate", challenge);
    return refused;
}

asio::awaitable<std::optional<http_response>> ops_routes::judge(http_request& request) const {
    const route& to = request.to;
    const bool reads = request.method == "GET" || request.method == "HEAD";
    request.who = co_await operator_of(request, reads);
    if (request.account) *request.account = request.who->name;
    if (to.allow.empty()) {
        co_return api_error(404, "there is no such path: " + to.path, "not_found");
    }
    if (!to.call) {
        http_response refused = api_error(405, "use " + to.allow);
        refused.allow = to.allow;
        co_return refused;
    }
    co_return std::nullopt;
}

asio::awaitable<http_response> ops_routes::dispatch(const http_request& request) const {
    const route& to = request.to;
    caller who = request.who.value();
    switch (*to.call) {
        case api_call::metrics:
            co_return page(co_await overview_.metrics(), metrics_text::content_type);
        case api_call::status_page: co_return co_await show_status_page(std::move(who));
        case api_call::server_status: {
            const server_view view = co_await overview_.look(std::move(who));
            co_return page(encode(view), "application/json");
        }
        case api_call::wake:
        case api_call::sleep:
            co_return co_await set_awake(std::move(who), name_in_path(to.database()),
                                         to.call == api_call::wake);
        case api_call::repair:
            co_return co_await repair(std::move(who), name_in_path(to.database()));
        case api_call::list_server_keys: co_return co_await list_keys(std::move(who));
        case api_call::create_server_key:
            co_return co_await create_key(std::move(who), request.body);
        case api_call::revoke_server_key: {
            co_await catalog_->revoke_key(std::move(who), to.parts.named("key"));
            co_return page("{}", "application/json");
        }
        case api_call::list_server_accounts: {
            const std::vector<service_account> all = co_await catalog_->accounts(std::move(who));
            co_return page(api::encode(all), "application/json");
        }
        case api_call::create_server_account: co_return co_await create_account(request.body);
        default: co_return co_await change_account(std::move(who), to);
    }
}

asio::awaitable<caller> ops_routes::operator_of(const http_request& request, bool basic) const {
    const std::string_view header = request.authorization;
    std::string shown;
    if (const auto bearer = authorization_value(header, "bearer")) {
        shown = *bearer;
    } else if (const auto pair = authorization_value(header, "basic"); pair && basic) {
        shown = password_of(*pair);
    } else {
        // No key was guessed: a browser asks like this before it asks its user.
        throw error(errc::authentication_failed,
                    basic ? "send a key of the server's user, as \"Authorization: Bearer v2_…\" or "
                            "as the password of HTTP Basic"
                          : "send a key of the server's user, as \"Authorization: Bearer v2_…\"");
    }
    std::optional<api_key> key;
    std::string malformed;
    try {
        key.emplace(shown);
    } catch (const error& failure) {
        malformed = failure.what();
    }
    explicit_bzero(shown.data(), shown.size());
    if (!key) {
        co_await catalog_->note_failure(request.peer);
        throw error(errc::authentication_failed, malformed);
    }
    caller who = co_await catalog_->admit(*key, request.peer);
    if (who.is_service || who.name != user_) {
        throw error(errc::permission_denied, "this is for the user of the server alone");
    }
    co_return who;
}

asio::awaitable<http_response> ops_routes::show_status_page(caller who) const {
    const server_view view = co_await overview_.look(std::move(who));
    http_response shown = page(status_page(view), "text/html; charset=utf-8");
    shown.headers.emplace_back("Content-Security-Policy", status_page_policy());
    shown.headers.emplace_back("Referrer-Policy", "no-referrer");
    shown.headers.emplace_back("X-Frame-Options", "DENY");
    co_return shown;
}

asio::awaitable<http_response> ops_routes::set_awake(caller who, database_name name,
                                                     bool awake) const {
    const database known = co_await catalog_->find(std::move(who), std::move(name));
    if (awake) {
        const lease held = co_await databases_->hold(known.id);
    } else {
        co_await databases_->sleep_now(known.id);
    }
    const json::object told{{"name", text(known.name.full())},
                            {"state", awake ? "awake" : "asleep"}};
    co_return page(json::serialize(told), "application/json");
}

asio::awaitable<http_response> ops_routes::repair(caller who, database_name name) const {
    const database known = co_await catalog_->find(std::move(who), std::move(name));
    const std::vector<std::string> wrong = co_await databases_->repair(known.id);
    json::array words;
    for (const std::string& each : wrong) {
        words.push_back(text(each));
    }
    const json::object told{{"name", text(known.name.full())}, {"put_right", std::move(words)}};
    co_return page(json::serialize(told), "application/json");
}

asio::awaitable<http_response> ops_routes::list_keys(caller who) const {
    const std::vector<service_account> accounts = co_await catalog_->accounts(who);
    const std::vector<key_row> known = co_await catalog_->keys(who);
    json::array keys;
    for (const key_row& row : known) {
        std::string account = who.name;
        for (const service_account& each : accounts) {
            if (each.id == row.account) account = each.name;
        }
        json::object entry;
        entry["id"] = text(row.id);
        entry["account"] = text(account);
        entry["created"] = time_or_null(row.created);
        entry["revoked"] = time_or_null(row.revoked);
        keys.push_back(std::move(entry));
    }
    co_return page(json::serialize(json::object{{"keys", std::move(keys)}}), "application/json");
}

asio::awaitable<http_response> ops_routes::create_key(caller who, std::string body) const {
    std::string account;
    if (!body.empty()) {
        const json::object wish = api::parse_object(body);
        if (api::find(wish, "account")) account = api::required_string(wish, "account");
    }
    issued_key made;
    if (account.empty()) {
        made = co_await catalog_->add_key(std::move(who));
    } else {
        const std::string id = co_await id_of_account(who, std::move(account));
        made = co_await catalog_->add_account_key(std::move(who), id);
    }
    co_return page(api::encode(made), "application/json");
}

asio::awaitable<http_response> ops_routes::create_account(std::string body) const {
    const json::object wish = api::parse_object(body);
    std::string name = api::required_string(wish, "name");
    const auto what = api::role_named(api::required_string(wish, "role"));
    if (!what) throw api::wrong("role", "ADMIN, WRITER or READER");
    std::vector<database_name> databases;
    if (const json::value* list = api::find(wish, "databases")) {
        if (!list->is_array()) throw api::wrong("databases", "a list of names");
        for (const json::value& each : list->as_array()) {
            if (!each.is_string()) throw api::wrong("databases", "a list of names");
            databases.emplace_back(std::string_view(each.as_string()));
        }
    }
    const service_account made =
        co_await catalog_->create_account(user_, std::move(name), *what, std::move(databases));
    co_return page(api::encode(made), "application/json");
}

// Removes an account, or grants it a database, or takes one away.
asio::awaitable<http_response> ops_routes::change_account(caller who, const route& to) const {
    const std::string id = co_await id_of_account(std::move(who), to.parts.named("account"));
    if (to.call == api_call::remove_server_account) {
        co_await catalog_->remove_account(user_, id);
        co_return page("{}", "application/json");
    }
    const database_name name = name_in_path(to.database());
    service_account changed;
    if (to.call == api_call::grant) {
        changed = co_await catalog_->grant(user_, id, name);
    } else {
        changed = co_await catalog_->revoke(user_, id, name);
    }
    co_return page(api::encode(changed), "application/json");
}

asio::awaitable<std::string> ops_routes::id_of_account(caller who, std::string name) const {
    const std::vector<service_account> all = co_await catalog_->accounts(std::move(who));
    for (const service_account& each : all) {
        if (each.id == name || each.name == name) co_return each.id;
    }
    throw error(errc::not_found, "there is no service account \"" + name + "\"");
}

}  // namespace bitdotio
