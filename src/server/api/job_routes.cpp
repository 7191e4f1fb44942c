// Turns forms into jobs, jobs into bodies, files into downloads.
#include "server/api/job_routes.hpp"
#include "base/http_url.hpp"
#include "base/percent_encoding.hpp"
#include "server/api/api_error.hpp"
#include "server/api/file_body.hpp"
#include "server/api/http_range.hpp"
#include "server/api/import_form.hpp"
#include "server/api/router.hpp"
#include "server/catalog/key_secret.hpp"
#include "server/formats/utf8.hpp"
#include "server/jobs/export_run.hpp"
#include "service/job_codec.hpp"

#include <bitdotio/quoting.hpp>

#include <algorithm>
#include <exception>
#include <utility>
#include <vector>

namespace bitdotio {

namespace {

struct file_kind {
    const char* extension;
    const char* content_type;
};

file_kind kind_of(export_format format) {
    switch (format) {
        case export_format::csv: return {".csv", "text/csv; charset=utf-8"};
        case export_format::json: return {".json", "application/json"};
        case export_format::xls:
            return {".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"};
        case export_format::parquet: return {".parquet", "application/vnd.apache.parquet"};
    }
    return {"", "application/octet-stream"};
}

// A name for the user's file that can be saved anywhere: no path, the format's ending.
std::string download_name(const export_options& order) {
    std::string name = order.file_name.empty() ? order.table_name : order.file_name;
    for (char& c : name) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '/' || c == '\\') c = '_';
    }
    if (name.empty()) name = "export";
    const std::string_view extension = kind_of(order.format).extension;
    return name.ends_with(extension) ? name : name + std::string(extension);
}

// The words say what is wrong with it and do not repeat it: it may have secrets in it.
void check_address(const std::string& file_url) {
    try {
        http_url::parse(file_url);
    } catch (const error& failure) {
        throw api::malformed_body("file_url", std::string("field \"file_url\": ") + failure.what());
    }
}

// See: RFC 6266; the plain form is for clients that do not read the other one.
std::string disposition(const std::string& name) {
    std::string plain;
    for (const char c : name) {
        const bool safe = static_cast<unsigned char>(c) < 0x80 && c != '"' && c != '\\';
        plain.push_back(safe ? c : '_');
    }
    return "attachment; filename=\"" + plain + "\"; filename*=UTF-8''" + percent_encoded(name);
}

http_response not_there(const std::string& what) {
    return api_error(404, what, "not_found");
}

}  // namespace

job_routes::job_routes(std::shared_ptr<catalog> known, std::shared_ptr<job_queue> all,
                       std::shared_ptr<worker_threads> threads, std::shared_ptr<disk_space> disk,
                       download_link links, std::chrono::milliseconds link_life,
                       std::uint64_t largest)
    : catalog_(std::move(known)),
      jobs_(std::move(all)),
      threads_(std::move(threads)),
      disk_(std::move(disk)),
      links_(std::move(links)),
      link_life_(link_life),
      largest_(largest) {}

asio::awaitable<http_response> job_routes::answer(caller who, const http_request& request) const {
    switch (request.to.call.value()) {
        case api_call::start_import: return start_import(std::move(who), request);
        case api_call::start_export: return start_export(std::move(who), request);
        case api_call::import_status: return status(std::move(who), job_kind::import_, request);
        default: return status(std::move(who), job_kind::export_, request);
    }
}

asio::awaitable<database> job_routes::importable(caller who, const http_request& request) const {
    const database_name name = name_in_path(request.to.database());
    const database known = co_await catalog_->find(std::move(who), name);
    if (known.role == role::reader) {
        throw error(errc::permission_denied,
                    "a READER may not import into the database \"" + name.full() + "\"");
    }
    co_return known;
}

asio::awaitable<std::optional<http_response>> job_routes::judge_import(
    const http_request& request) const {
    co_await importable(request.who.value(), request);
    co_await jobs_->check_room(request.who->account);
    // What is around the file in a form: its other fields, and the marks between them.
    constexpr std::uint64_t form = 1 << 20;
    if (request.declared.value_or(0) > largest_ && *request.declared - largest_ > form) {
        co_return api_error(413, form_too_large(largest_).what(), "too_large");
    }
    co_return std::nullopt;
}

asio::awaitable<http_response> job_routes::start_import(caller who,
                                                        const http_request& request) const {
    const database known = co_await importable(who, request);
    job_record wanted;
    wanted.id = new_id();
    wanted.kind = job_kind::import_;
    wanted.user = who.account;
    wanted.database_id = known.id;
    wanted.role = known.role;
    const std::filesystem::path file = jobs_->file_of(wanted.id);

    std::exception_ptr failure;
    std::optional<http_response> refused;
    try {
        import_form form(request.content_type, file, largest_);
        std::string piece = co_await request.stream->next();
        std::function<void()> feed = [&] { form.feed(piece); };
        while (!piece.empty()) {
            // The form's own octets are counted along: a few hundred.
            co_await jobs_->take_upload(wanted.id, wanted.user, piece.size());
            co_await disk_->check();
            co_await threads_->run(feed);
            piece = co_await request.stream->next();
        }
        std::function<void()> finish = [&] { form.finish(); };
        co_await threads_->run(finish);
        wanted.import = form.options();
        wanted.file_name = form.file_name();
        wanted.file_url = form.url();
        if (!wanted.file_url.empty()) check_address(wanted.file_url);
        wanted = co_await jobs_->add(wanted);
    } catch (const form_too_large& too_large) {
        refused = api_error(413, too_large.what(), "too_large");
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure || refused) {
        // Also if the client is gone, which has cancelled us.
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        co_await jobs_->drop_upload(wanted.id);
        co_await asio::this_coro::reset_cancellation_state();
        if (failure) std::rethrow_exception(failure);
        co_return *refused;
    }
    co_return http_response(201, body_of(wanted, request));
}

asio::awaitable<http_response> job_routes::start_export(caller who,
                                                        const http_request& request) const {
    const database_name name = name_in_path(request.to.database());
    const database known = co_await catalog_->find(who, name);
    job_record wanted;
    wanted.id = new_id();
    wanted.kind = job_kind::export_;
    wanted.user = who.account;
    wanted.database_id = known.id;
    wanted.role = known.role;
    wanted.export_ = api::decode_export_options(request.body);
    // Refused at once: what cannot name a table, or is not one statement.
    if (!wanted.export_.table_name.empty()) {
        quote_identifier({wanted.export_.schema_name, wanted.export_.table_name});
    } else {
        wanted.export_.query = only_statement(wanted.export_.query);
    }
    wanted.file_name = download_name(wanted.export_);
    co_await disk_->check();
    wanted = co_await jobs_->add(wanted);
    co_return http_response(201, body_of(wanted, request));
}

asio::awaitable<http_response> job_routes::status(caller who, job_kind kind,
                                                  const http_request& request) const {
    const std::string id = request.to.parts.named("id");
    if (!is_text(id)) {
        throw malformed_path(kind == job_kind::import_ ? "import_id" : "export_id",
                             "the id of a job is text in UTF-8");
    }
    const std::optional<job_record> found = co_await jobs_->find(id);
    // Another account's job does not exist, in the same words.
    if (!found || found->kind != kind || found->user != who.account) {
        co_return not_there("there is no " +
                            std::string(kind == job_kind::import_ ? "import" : "export") + " \"" +
                            id + "\"");
    }
    co_return http_response(200, body_of(*found, request));
}

std::string job_routes::body_of(const job_record& record, const http_request& request) const {
    // The name by which the client reached us, which we may not know.
    const std::string base = "https://" + request.host + "/v2beta/";
    if (record.kind == job_kind::import_) {
        import_job shown;
        static_cast<job_status&>(shown) = record;
        shown.status_url = base + "import/" + record.id;
        return api::encode(shown);
    }
    export_job shown;
    static_cast<job_status&>(shown) = record;
    shown.status_url = base + "export/" + record.id;
    shown.format = record.export_.format;
    shown.file_name = record.file_name;
    if (record.state == job_state::done) {
        const auto until =
            std::chrono::ceil<std::chrono::seconds>(std::chrono::system_clock::now() + link_life_);
        shown.download_url =
            base + "export/" + record.id + "/download?" + links_.sign(record.id, until);
    }
    return api::encode(shown);
}

asio::awaitable<http_response> job_routes::download(const http_request& request) const {
    const std::string id = request.to.parts.named("id");
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    switch (links_.check(id, request.to.query, now)) {
        case download_link::verdict::good: break;
        case download_link::verdict::expired:
            co_return api_error(403,
                                "this link has expired: ask for the state of the export again, "
                                "which has a new one",
                                "link_expired");
        case download_link::verdict::forged:
            co_return api_error(403, "this link was not made by this server, or was changed",
                                "link_invalid");
    }
    const std::optional<job_record> found = co_await jobs_->find(id);
    if (!found || found->kind != job_kind::export_ || found->state != job_state::done) {
        co_return not_there("the file is no longer here: export it again");
    }
    const std::string tag = "\"" + found->id + "\"";
    range_answer part;
    part.range.length = found->size;
    if (request.if_range.empty() || request.if_range == tag) {
        part = read_range(request.range, found->size);
    }
    http_response answer;
    answer.headers = {{"Accept-Ranges", "bytes"}, {"ETag", tag}, {"Cache-Control", "private"}};
    const std::string size = std::to_string(found->size);
    if (part.what == range_answer::kind::unsatisfiable) {
        answer = api_error(416, "the file has " + size + " bytes", "range");
        answer.headers = {{"Content-Range", "bytes */" + size}};
        co_return answer;
    }
    if (part.what == range_answer::kind::part) {
        answer.status = 206;
        answer.headers.emplace_back(
            "Content-Range", "bytes " + std::to_string(part.range.begin) + "-" +
                                 std::to_string(part.range.begin + part.range.length - 1) + "/" +
                                 size);
    }
    answer.content_type = kind_of(found->export_.format).content_type;
    answer.headers.emplace_back("Content-Disposition", disposition(found->file_name));
    answer.length = part.range.length;
    const std::filesystem::path file = jobs_->file_of(found->id);
    std::function<void()> open = [&] {
        answer.stream = std::make_shared<file_body>(threads_, file, part.range);
    };
    co_await threads_->run(open);
    co_return answer;
}

}  // namespace bitdotio
