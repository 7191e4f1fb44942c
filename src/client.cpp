// The client: calls of the API, and the pools it keeps.
#include <bitdotio/client.hpp>

#include "api_codec.hpp"
#include "backoff.hpp"
#include "file_transfer.hpp"
#include "https_pool.hpp"
#include "import_request.hpp"
#include "job_codec.hpp"
#include "json_fields.hpp"
#include "process_birth.hpp"
#include "query_codec.hpp"

#include <boost/asio/strand.hpp>

#include <algorithm>
#include <map>
#include <mutex>
#include <random>
#include <utility>

namespace bitdotio {

namespace {

double random_jitter() {
    thread_local std::minstd_rand engine{std::random_device{}()};
    return std::uniform_real_distribution<double>(0, 1)(engine);
}

std::uint64_t random_number() {
    std::random_device chance;
    return std::uint64_t{chance()} << 32 | chance();
}

client_options with_key(api_key key) {
    client_options options;
    options.key.emplace(std::move(key));
    return options;
}

errc code_of(int status) {
    switch (status) {
        case 401: return errc::authentication_failed;
        case 403: return errc::permission_denied;
        case 404: return errc::not_found;
        case 409: return errc::conflict;
        case 429: return errc::rate_limited;
        default: return errc::api_failed;
    }
}

bool is_sqlstate(const std::string& text) {
    return text.size() == 5 &&
           text.find_first_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos;
}

error refused(const char* what, const https_response& response) {
    const api::error_answer answer = api::decode_error(response.body);
    std::string text = std::string("cannot ") + what + ": ";
    text += answer.message.empty() ? "the service gave no reason" : answer.message;
    text += " (HTTP " + std::to_string(response.status) + ")";
    errc code = code_of(response.status);
    server_message message;
    if (is_sqlstate(answer.type)) {
        code = errc::query_failed;
        message.sqlstate = answer.type;
        message.message = answer.message;
    }
    // What was refused for the caller's fault was not carried out; what failed may have been.
    return error(code, std::move(text))
        .with(std::move(message))
        .with_http(response.status, response.body)
        .with(phase::replied)
        .with(response.status < 500 ? outcome::not_executed : outcome::unknown);
}

// What the service sent must be readable; if not, the fault is on that side.
template <class Decode>
auto decoded(const std::string& body, Decode decode) {
    try {
        return decode(body);
    } catch (const api::malformed_body& failure) {
        throw error(errc::protocol_violated,
                    std::string("the service's answer is malformed: ") + failure.what())
            .with(phase::replied)
            .with(outcome::executed);
    }
}

import_job one_import(const std::string& body) {
    return decoded(body, [](const std::string& text) { return api::decode_import_job(text); });
}

export_job one_export(const std::string& body) {
    return decoded(body, [](const std::string& text) { return api::decode_export_job(text); });
}

// Growing pauses between two looks at a job, up to this.
constexpr std::chrono::milliseconds longest_look{2'000};

// Asks with `look` until the job is over.
template <class Look>
auto until_over(Look& look) -> decltype(look()) {
    asio::steady_timer pause(co_await asio::this_coro::executor);
    for (std::chrono::milliseconds delay{50};; delay = std::min(2 * delay, longest_look)) {
        auto job = co_await look();
        if (job.is_over()) co_return job;
        pause.expires_after(delay);
        boost::system::error_code aborted;
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, aborted));
        if (aborted) {
            throw error(errc::cancelled, "waiting for the job was cancelled")
                .with(outcome::executed);
        }
    }
}
template <class Look>
void until_over(Look&&) = delete;  // name it first: see docs/contributing.md

database one_database(const std::string& body) {
    return decoded(body, [](const std::string& text) { return api::decode_database(text); });
}

// An id as part of a path, checked: what else could be in it would lead elsewhere.
std::string in_path(const std::string& id, const char* of_what) {
    const auto is_plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_';
    };
    if (id.empty() || !std::all_of(id.begin(), id.end(), is_plain)) {
        throw error(errc::bad_input, std::string("the id of ") + of_what +
                                         " is of letters, digits and dashes, as the service "
                                         "gives it")
            .with(outcome::not_sent);
    }
    return id;
}

// The path of a service account, with what follows its id.
std::string account_path(const std::string& id, const char* rest) {
    return "/service-account/" + in_path(id, "a service account") + rest;
}

}  // namespace

class client::impl {
public:
    impl(asio::any_io_executor executor, client_options options)
        : executor_(std::move(executor)),
          options_(options.resolved()),
          https_(std::make_shared<https_pool>(executor_, https_address::parse(options_.api_url),
                                              make_client_tls(options_.ca_file))) {
        if (options_.user_agent.empty()) {
            options_.user_agent = "cpp-bitdotio/" BITDOTIO_VERSION;
        }
        options_.pool.check();
    }

    // Whether doing it twice is the same as doing it once.
    enum class repeatable { no, yes };

    void check_same_process() const { birth_.check_same_process("the client"); }

    // The one place where a call is tried again.
    asio::awaitable<std::string> call(const char* what, std::string method, std::string target,
                                      std::string body, repeatable repeat) {
        check_same_process();
        const time_point deadline = deadline_after(options_.request_timeout);
        asio::steady_timer pause(co_await asio::this_coro::executor);
        for (int failed = 1;; ++failed) {
            std::optional<error> failure;
            std::optional<std::chrono::seconds> retry_after;
            try {
                https_request request;
                request.method = method;
                request.target = "/v2beta" + target;
                request.authorization = "Bearer " + options_.key->reveal();
                request.user_agent = options_.user_agent;
                request.body = body;
                https_response response = co_await https_->request(std::move(request), deadline);
                if (response.status < 400) {
                    co_return std::move(response.body);
                }
                retry_after = response.retry_after;
                failure = refused(what, response);
            } catch (const error& thrown) {
                failure = thrown.with_message(std::string("cannot ") + what + ": " + thrown.what());
            }
            const auto delay =
                may_retry(*failure, repeat)
                    ? retry_delay(options_.retry, failed, retry_after, random_jitter())
                    : std::nullopt;
            if (!delay || std::chrono::steady_clock::now() + *delay >= deadline) {
                throw failure->with_attempts(failed);
            }
            pause.expires_after(*delay);
            boost::system::error_code aborted;
            co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, aborted));
            if (aborted) {
                throw error(errc::cancelled, std::string("cannot ") + what + ": cancelled")
                    .with(outcome::not_sent);
            }
        }
    }

    // One try, without a timeout: for files, whose transfer takes its time.
    asio::awaitable<std::string> send(const char* what, https_request request) {
        check_same_process();
        request.user_agent = options_.user_agent;
        try {
            https_response response = co_await https_->request(std::move(request), never);
            if (response.status >= 400) throw refused(what, response);
            co_return std::move(response.body);
        } catch (const error& failure) {
            if (failure.http_status() != 0) throw;
            throw failure.with_message(std::string("cannot ") + what + ": " + failure.what());
        }
    }

    static bool may_retry(const error& failure, repeatable repeat) {
        switch (failure.code()) {
            case errc::connect_failed: return true;
            case errc::rate_limited: return true;  // refused unseen
            case errc::connection_lost: return repeat == repeatable::yes;
            case errc::api_failed:
                return repeat == repeatable::yes &&
                       (failure.http_status() == 502 || failure.http_status() == 503 ||
                        failure.http_status() == 504);
            default: return false;
        }
    }

    const client_options& options() const { return options_; }
    const std::shared_ptr<https_pool>& https() const { return https_; }

#ifndef BITDOTIO_WITHOUT_POSTGRES
    bitdotio::connect_options connect_to(const database_name& name) const {
        if (options_.postgres_host.empty() || options_.postgres_port == 0) {
            throw error(errc::bad_input,
                        "the Postgres endpoint is unknown: set client_options::postgres_host and "
                        "postgres_port, or BITIO_PG_HOST and BITIO_PG_PORT");
        }
        bitdotio::connect_options connect = options_.connect;
        connect.hosts = {{options_.postgres_host, options_.postgres_port}};
        connect.password = options_.key->reveal();
        connect.database = name.full();
        connect.ca_file = options_.ca_file;
        return connect;
    }

    bitdotio::pool pool(const database_name& name) {
        check_same_process();
        const std::scoped_lock lock(pools_mutex_);
        const auto found = pools_.find(name);
        if (found != pools_.end()) {
            return found->second;
        }
        return pools_.emplace(name, bitdotio::pool(executor_, connect_to(name), options_.pool))
            .first->second;
    }

    std::vector<bitdotio::pool> pools() {
        const std::scoped_lock lock(pools_mutex_);
        std::vector<bitdotio::pool> all;
        for (const auto& [name, one] : pools_) {
            all.push_back(one);
        }
        return all;
    }
#endif

private:
    const process_birth birth_;
    asio::any_io_executor executor_;
    client_options options_;
    std::shared_ptr<https_pool> https_;
#ifndef BITDOTIO_WITHOUT_POSTGRES
    // The one lock of the library, never held over a suspension: `pool` is no awaitable.
    std::mutex pools_mutex_;
    std::map<database_name, bitdotio::pool> pools_;
#endif
};

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

asio::awaitable<import_job> client::import_file(database_name name, std::filesystem::path file,
                                                import_options options) {
    const auto self = impl_;
    const api::import_request form =
        api::encode_import(options, file.filename().string(), random_number());
    https_request request;
    request.method = "POST";
    request.target = "/v2beta/db/" + name.url_path() + "/import/";
    request.authorization = "Bearer " + self->options().key->reveal();
    request.content_type = form.content_type;
    request.source = make_file_source(std::move(file), form.before, form.after);
    const std::string body = co_await self->send("import the file", std::move(request));
    co_return one_import(body);
}

asio::awaitable<import_job> client::import_url(database_name name, std::string url,
                                               import_options options) {
    const auto self = impl_;
    https_request request;
    request.method = "POST";
    request.target = "/v2beta/db/" + name.url_path() + "/import/";
    request.authorization = "Bearer " + self->options().key->reveal();
    request.content_type = "application/x-www-form-urlencoded";
    request.body = api::encode_import(options, url);
    const std::string body = co_await self->send("import the file", std::move(request));
    co_return one_import(body);
}

asio::awaitable<import_job> client::get_import(std::string id) {
    const auto self = impl_;
    const std::string body = co_await self->call(
        "get the import", "GET", "/import/" + in_path(id, "an import"), "", impl::repeatable::yes);
    co_return one_import(body);
}

asio::awaitable<import_job> client::wait_for_import(std::string id) {
    auto look = [self = *this, id]() mutable { return self.get_import(id); };
    co_return co_await until_over(look);
}

asio::awaitable<export_job> client::start_export(database_name name, export_options options) {
    const auto self = impl_;
    const std::string body =
        co_await self->call("start the export", "POST", "/db/" + name.url_path() + "/export/",
                            api::encode(options), impl::repeatable::no);
    co_return one_export(body);
}

asio::awaitable<export_job> client::get_export(std::string id) {
    const auto self = impl_;
    const std::string body = co_await self->call(
        "get the export", "GET", "/export/" + in_path(id, "an export"), "", impl::repeatable::yes);
    co_return one_export(body);
}

asio::awaitable<export_job> client::wait_for_export(std::string id) {
    auto look = [self = *this, id]() mutable { return self.get_export(id); };
    co_return co_await until_over(look);
}

asio::awaitable<void> client::download(export_job job, std::filesystem::path file) {
    const auto self = impl_;
    self->check_same_process();
    if (job.download_url.empty()) {
        throw error(errc::bad_input, "the export has no file: wait until it is done")
            .with(outcome::not_sent);
    }
    const auto sink = make_file_sink(std::move(file));
    https_request request;
    request.user_agent = self->options().user_agent;
    request.sink = sink;
    // A session of its own: links may lead elsewhere, where the key has no business.
    const std::size_t path = job.download_url.find('/', std::string_view("https://").size());
    request.target = path == std::string::npos ? "/" : job.download_url.substr(path);
    const https_address there = https_address::parse(job.download_url.substr(0, path));
    const https_address ours = https_address::parse(self->options().api_url);
    const bool same = there.host == ours.host && there.port == ours.port;
    const auto executor = co_await asio::this_coro::executor;
    const std::string ca_file = same ? self->options().ca_file : std::string();
    https_session session(executor, there, make_client_tls(ca_file));
    const https_response response = co_await session.request(std::move(request), never);
    if (response.status != 200) throw refused("download the file", response);
    co_await on_strand(asio::make_strand(executor), sink, sink->finish());
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
    const auto deadline = std::chrono::steady_clock::now() + drain;
    std::optional<error> late;  // one pool that is late does not keep the others open
    for (bitdotio::pool& pool : self->pools()) {
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
    co_await self->https()->close();
#ifndef BITDOTIO_WITHOUT_POSTGRES
    if (late) {
        throw *late;
    }
#endif
}

}  // namespace bitdotio
