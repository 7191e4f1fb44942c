// Who asks, what for, and what is done.
#include "server/ops_routes.hpp"

#include <bitdotio/error.hpp>

#include "api_codec.hpp"
#include "json_fields.hpp"
#include "rfc3339.hpp"
#include "server/api_error.hpp"
#include "server/authorization_header.hpp"
#include "server/metrics_text.hpp"
#include "server/refusal.hpp"
#include "server/router.hpp"
#include "server/status_page.hpp"

#include <openssl/evp.h>
#include <boost/json.hpp>

#include <exception>
#include <optional>
#include <utility>

namespace bitdotio {

namespace {

namespace json = boost::json;

// In addition to Bearer, which every 401 of the door has.
constexpr const char* challenge = "Basic realm=\"bitdotio\", charset=\"UTF-8\"";

std::string_view path_of(std::string_view target) {
    std::string_view path = target.substr(0, target.find('?'));
    if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
    return path;
}

// The password of "user:password" in base64; empty if it is none.
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

http_response not_here(std::string_view path) {
    return api_error(404, "there is no such path: " + std::string(path), "not_found");
}

http_response use(const char* methods) {
    http_response refused = api_error(405, std::string("use ") + methods);
    refused.allow = methods;
    return refused;
}

json::string text(std::string_view value) {
    return json::string(value.data(), value.size());
}

json::value time_or_null(const std::optional<state_time>& when) {
    return when ? json::value(json::string(api::encode_time(*when))) : nullptr;
}

}  // namespace

bool ops_routes::knows(std::string_view target) {
    const std::string_view path = path_of(target);
    return path == "/metrics" || path == "/status" || path.starts_with("/server/");
}

asio::awaitable<http_response> ops_routes::answer(http_request request) const {
    std::exception_ptr thrown;
    try {
        co_return co_await dispatch(request);
    } catch (...) {
        thrown = std::current_exception();
    }
    http_response refused = refusal_of(thrown);
    if (refused.status == 401) refused.headers.emplace_back("WWW-Authenticate", challenge);
    co_return refused;
}

asio::awaitable<http_response> ops_routes::dispatch(const http_request& request) const {
    const std::string_view path = path_of(request.target);
    const std::string& method = request.method;
    const bool reads = method == "GET" || method == "HEAD";
    caller who = co_await operator_of(request, reads);
    if (request.account) *request.account = who.name;
    if (path == "/metrics") {
        if (!reads) co_return use("GET, HEAD");
        co_return page(co_await overview_.metrics(), metrics_text::content_type);
    }
    if (path == "/status") {
        if (!reads) co_return use("GET, HEAD");
        const server_view view = co_await overview_.look(std::move(who));
        http_response shown = page(status_page(view), "text/html; charset=utf-8");
        shown.headers.emplace_back("Content-Security-Policy", status_page_policy());
        shown.headers.emplace_back("Referrer-Policy", "no-referrer");
        shown.headers.emplace_back("X-Frame-Options", "DENY");
        co_return shown;
    }
    const words parts = path_segments(path.substr(1));
    if (parts.size() == 2 && parts[1] == "status") {
        if (!reads) co_return use("GET, HEAD");
        const server_view view = co_await overview_.look(std::move(who));
        co_return page(encode(view), "application/json");
    }
    if (parts[1] == "databases") {
        co_return co_await about_databases(std::move(who), parts, method);
    }
    if (parts[1] == "keys") {
        co_return co_await about_keys(std::move(who), parts, method, request.body);
    }
    if (parts[1] == "accounts") {
        co_return co_await about_accounts(std::move(who), parts, method, request.body);
    }
    co_return not_here(path);
}

asio::awaitable<caller> ops_routes::operator_of(const http_request& request, bool basic) const {
    const std::string_view header = request.authorization;
    std::string shown;
    if (const auto bearer = value_behind(header, "bearer")) {
        shown = *bearer;
    } else if (const auto pair = value_behind(header, "basic"); pair && basic) {
        shown = password_of(*pair);
    } else {
        // Nothing was guessed: a browser asks like this before it asks its user.
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

// /server/databases/{user}/{db}/sleep and …/wake
asio::awaitable<http_response> ops_routes::about_databases(caller who, words path,
                                                           std::string method) const {
    const bool wakes = path.size() == 5 && path[4] == "wake";
    if (!wakes && !(path.size() == 5 && path[4] == "sleep"))
        co_return not_here("/server/databases");
    if (method != "POST") co_return use("POST");
    const database_name name(path[2] + "/" + path[3]);
    const database known = co_await catalog_->find(std::move(who), name);
    if (wakes) {
        const lease awake = co_await cluster_->hold(known.id);
    } else {
        co_await cluster_->sleep_now(known.id);
    }
    const json::object told{{"name", text(known.name.full())},
                            {"state", wakes ? "awake" : "asleep"}};
    co_return page(json::serialize(told), "application/json");
}

// /server/keys and /server/keys/{id}
asio::awaitable<http_response> ops_routes::about_keys(caller who, words path, std::string method,
                                                      std::string body) const {
    if (path.size() == 3) {
        if (method != "DELETE") co_return use("DELETE");
        co_await catalog_->revoke_key(std::move(who), path[2]);
        co_return page("{}", "application/json");
    }
    if (path.size() != 2) co_return not_here("/server/keys");
    if (method == "POST") {
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
    if (method != "GET" && method != "HEAD") co_return use("GET, HEAD, POST");
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

// /server/accounts, …/{name or id} and …/{name or id}/databases/{user}/{db}
asio::awaitable<http_response> ops_routes::about_accounts(caller who, words path,
                                                          std::string method,
                                                          std::string body) const {
    if (path.size() == 2 && method == "POST") {
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
    if (path.size() == 2) {
        if (method != "GET" && method != "HEAD") co_return use("GET, HEAD, POST");
        const std::vector<service_account> all = co_await catalog_->accounts(std::move(who));
        co_return page(api::encode(all), "application/json");
    }
    const bool grants = path.size() == 6 && path[3] == "databases";
    if (path.size() != 3 && !grants) co_return not_here("/server/accounts");
    if (path.size() == 3 && method != "DELETE") co_return use("DELETE");
    if (grants && method != "PUT" && method != "DELETE") co_return use("PUT, DELETE");
    const std::string id = co_await id_of_account(std::move(who), path[2]);
    if (!grants) {
        co_await catalog_->remove_account(user_, id);
        co_return page("{}", "application/json");
    }
    const database_name name(path[4] + "/" + path[5]);
    service_account changed;
    if (method == "PUT") {
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
