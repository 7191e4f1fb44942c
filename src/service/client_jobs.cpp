// The client's calls about imports and exports.
#include <bitdotio/client.hpp>

#include "service/client_impl.hpp"
#include "service/file_transfer.hpp"
#include "service/import_request.hpp"
#include "service/job_codec.hpp"

#include <boost/asio/strand.hpp>

#include <algorithm>
#include <random>
#include <utility>

namespace bitdotio {

namespace {

std::uint64_t random_number() {
    std::random_device chance;
    return std::uint64_t{chance()} << 32 | chance();
}

import_job one_import(const std::string& body) {
    return decoded(body, [](const std::string& text) { return api::decode_import_job(text); });
}

export_job one_export(const std::string& body) {
    return decoded(body, [](const std::string& text) { return api::decode_export_job(text); });
}

// The longest pause between two looks at a job; pauses grow up to it.
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

http_url parse_link(const std::string& link) {
    const auto malformed = [](const std::string& why) {
        return error(errc::bad_input, "the link to the file is malformed: " + why)
            .with(outcome::not_sent);
    };
    http_url found;
    try {
        found = http_url::parse(link);
    } catch (const error& failure) {
        throw malformed(failure.what());
    }
    if (!found.secure) throw malformed("it does not begin with https://");
    return found;
}

}  // namespace

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
    // A session of its own: links may lead elsewhere, where the key must not be sent.
    http_url link = parse_link(job.download_url);
    const https_address there(link);
    request.target = std::move(link.target);
    const https_address ours = https_address::parse(self->options().api_url);
    const bool same = there.host == ours.host && there.port == ours.port;
    const auto executor = co_await asio::this_coro::executor;
    const std::string ca_file = same ? self->options().ca_file : std::string();
    https_session session(executor, there, make_client_tls(ca_file));
    const https_response response = co_await session.request(std::move(request), no_deadline);
    if (response.status != 200) throw refused("download the file", response);
    co_await on_strand(asio::make_strand(executor), sink, sink->finish());
}

}  // namespace bitdotio
