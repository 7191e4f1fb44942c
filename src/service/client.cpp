// The client: calls of the API, and its pools.
#include <bitdotio/client.hpp>

#include "service/api_codec.hpp"
#include "service/client_impl.hpp"
#include "service/query_codec.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio {

namespace {

client_options with_key(api_key key) {
    client_options options;
    options.key.emplace(std::move(key));
    return options;
}

database one_database(const std::string& body) {
    return decoded(body, [](const std::string& text) { return api::decode_database(text); });
}

// The path of a service account, with what follows its id.
std::string account_path(const std::string& id, const char* rest) {
    return "/service-account/" + in_path(id, "a service account") + rest;
}

}  // namespace

client::client(asio::any_io_executor executor, client_options options)
    : impl_(make_for_this_process<impl>(std::move(executor), std::move(options))) {}

client::client(asio::any_io_executor executor, api_key key)
    : client(std::move(executor), with_key(std::move(key))) {}

asio::awaitable<std::vector<database>> client::list_databases() {
    const auto self = impl_;
    const std::string body =
        co_await self->call("list databases", "GET", "/db/", "", impl::repeatable::yes);
    co_return decoded(body, api::decode_databases);
}

asio::awaitable<database> client::create_database(std::string name, visibility visible,
                                                  std::optional<std::int64_t> storage_limit_bytes) {
    const auto self = impl_;
    // Checked here as the service checks it, with any user before it.
    const database_name checked("user/" + name);
    api::create_request request;
    request.name = std::string(checked.database());
    request.visible = visible;
    request.storage_limit_bytes = storage_limit_bytes;
    const std::string body = co_await self->call("create the database", "POST", "/db/",
                                                 api::encode(request), impl::repeatable::no);
    co_return one_database(body);
}

asio::awaitable<database> client::get_database(database_name name) {
    const auto self = impl_;
    const std::string body = co_await self->call(
        "get the database", "GET", "/db/" + name.url_path(), "", impl::repeatable::yes);
    co_return one_database(body);
}

asio::awaitable<database> client::update_database(database_name name, database_changes changes) {
    const auto self = impl_;
    const std::string body =
        co_await self->call("update the database", "PATCH", "/db/" + name.url_path(),
                            api::encode(changes), impl::repeatable::no);
    co_return one_database(body);
}

asio::awaitable<void> client::delete_database(database_name name) {
    const auto self = impl_;
    co_await self->call("delete the database", "DELETE", "/db/" + name.url_path(), "",
                        impl::repeatable::no);
}

asio::awaitable<query_result> client::query(database_name name, std::string sql,
                                            data_format format) {
    const auto self = impl_;
    api::query_request request;
    request.database_name = name.full();
    request.query_string = std::move(sql);
    const char* target = format == data_format::objects ? "/query?data_format=objects" : "/query";
    const std::string body = co_await self->call("run the query", "POST", target,
                                                 api::encode(request), impl::repeatable::no);
    co_return decoded(body, api::decode_query_answer);
}

asio::awaitable<std::vector<service_account>> client::list_service_accounts() {
    const auto self = impl_;
    const std::string body = co_await self->call("list service accounts", "GET",
                                                 "/service-account/", "", impl::repeatable::yes);
    co_return decoded(body, api::decode_service_accounts);
}

asio::awaitable<service_account> client::get_service_account(std::string id) {
    const auto self = impl_;
    const std::string body = co_await self->call("get the service account", "GET",
                                                 account_path(id, ""), "", impl::repeatable::yes);
    co_return decoded(body, api::decode_service_account);
}

asio::awaitable<issued_key> client::create_service_account_key(std::string id) {
    const auto self = impl_;
    const std::string body =
        co_await self->call("make a key for the service account", "POST",
                            account_path(id, "/api-key/"), "", impl::repeatable::no);
    co_return decoded(body, api::decode_issued_key);
}

asio::awaitable<void> client::revoke_service_account_keys(std::string id) {
    const auto self = impl_;
    co_await self->call("revoke the service account's keys", "DELETE",
                        account_path(id, "/api-key/"), "", impl::repeatable::yes);
}

asio::awaitable<issued_key> client::create_api_key() {
    const auto self = impl_;
    const std::string body =
        co_await self->call("make a key", "POST", "/api-key/", "", impl::repeatable::no);
    co_return decoded(body, api::decode_issued_key);
}

asio::awaitable<void> client::revoke_api_keys(std::optional<api_key> key) {
    const auto self = impl_;
    std::string target = "/api-key/";
    if (key) {
        target += "?api_key=" + key->reveal();
    }
    co_await self->call("revoke keys", "DELETE", std::move(target), "", impl::repeatable::no);
}

#ifndef BITDOTIO_WITHOUT_POSTGRES
bitdotio::pool client::pool(const database_name& name) {
    return impl_->pool(name);
}

asio::awaitable<connection> client::connect(database_name name) {
    impl_->check_same_process();
    return connection::open(impl_->connect_to(name));
}

bitdotio::connect_options client::connect_options(const database_name& name) const {
    return impl_->connect_to(name);
}
#endif

asio::awaitable<void> client::close([[maybe_unused]] std::chrono::milliseconds drain) {
    const auto self = impl_;
    self->check_same_process();
#ifndef BITDOTIO_WITHOUT_POSTGRES
    const auto deadline = from_now(drain);
    std::optional<error> late;  // one late pool does not keep the others open
    for (bitdotio::pool& pool : self->close_pools()) {  // they drain side by side
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        try {
            co_await pool.close(std::max(left, std::chrono::milliseconds(0)));
        } catch (const error& failure) {
            if (failure.code() != errc::timeout) {
                throw;
            }
            late = failure;
        }
    }
#endif
    self->https()->close();
#ifndef BITDOTIO_WITHOUT_POSTGRES
    if (late) {
        throw *late;
    }
#endif
    co_return;
}

}  // namespace bitdotio
