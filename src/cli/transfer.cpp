// The commands "import" and "export": files to the service and from it, with progress.
#include "cli/transfer.hpp"

#include "base/deadline.hpp"
#include "base/spawn.hpp"
#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/progress.hpp"
#include "cli/query_input.hpp"
#include "service/https_session.hpp"
#include "service/import_request.hpp"
#include "service/job_codec.hpp"
#include "service/service_answer.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>

#include <unistd.h>
#include <algorithm>
#include <optional>
#include <random>
#include <type_traits>
#include <utility>

namespace bitdotio::cli {

namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds longest_look{1'000};

// What goes on at the server after Ctrl-C.
std::string goes_on(const std::string& id) {
    return id.empty() ? "" : "the job goes on at the server: bit status " + id;
}

void print_job(const arguments& words, const job_status& job, const std::string& encoded) {
    if (wants_json(words)) {
        print_json(encoded);
        return;
    }
    std::string line = job.id + "  " + std::string(api::name_of(job.state));
    if (job.retries > 0) line += ", begun again " + std::to_string(job.retries) + " times";
    print(line + "\n");
}

error failed_job(const char* what, const job_status& job) {
    return error(errc::api_failed,
                 std::string("the ") + what + " failed: " +
                     (job.error_message.empty() ? job.error_type : job.error_message));
}

// Waits for the end of a job, showing how long that takes.
template <class Job>
asio::awaitable<Job> wait_for_job(client service, Job job, const char* what) {
    progress shown(what);
    asio::steady_timer pause(co_await asio::this_coro::executor);
    const auto begin = std::chrono::steady_clock::now();
    for (std::chrono::milliseconds delay{50}; !job.is_over();
         delay = std::min(2 * delay, longest_look)) {
        shown.say(std::string(what) + ": " + std::string(api::name_of(job.state)) + ", " +
                  time_text(std::chrono::steady_clock::now() - begin));
        pause.expires_after(delay);
        boost::system::error_code aborted;
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, aborted));
        if (aborted) throw error(errc::cancelled, "waiting for the job was cancelled");
        if constexpr (std::is_same_v<Job, import_job>) {
            job = co_await service.get_import(job.id);
        } else {
            job = co_await service.get_export(job.id);
        }
    }
    co_return job;
}

void require_file(const std::string& name) {
    std::error_code failure;
    const fs::file_status found = fs::status(name, failure);
    if (fs::is_regular_file(found)) return;
    std::string why = "it is a pipe or a device, which is read as standard input (-)";
    if (!fs::exists(found)) why = failure ? failure.message() : "it is not there";
    if (fs::is_directory(found)) why = "it is a directory";
    throw error(errc::bad_input, "cannot read the file " + name + ": " + why);
}

// Told before the service works for nothing.
void require_place(const fs::path& file) {
    std::error_code failure;
    const fs::path parent = file.has_parent_path() ? file.parent_path() : ".";
    std::string why;
    if (fs::is_directory(file, failure)) {
        why = "it is a directory";
    } else if (!fs::is_directory(parent, failure)) {
        why = "there is no directory " + parent.string();
    } else {
        return;
    }
    throw error(errc::bad_input, "cannot write " + file.string() + ": " + why);
}

struct import_wish {
    std::string from;  // a file, or a URL
    std::string shown_name;
    import_options options;
    bool is_url = false;
    bool wait = true;
};

asio::awaitable<import_job> send_file(const service_place& where, database_name name,
                                      const import_wish& wish) {
    std::random_device chance;
    const std::uint64_t number = std::uint64_t{chance()} << 32 | chance();
    const api::import_request form = api::encode_import(wish.options, wish.shown_name, number);
    https_request request;
    request.method = "POST";
    request.target = "/v2beta/db/" + name.url_path() + "/import/";
    request.authorization = "Bearer " + where.options.key->reveal();
    request.user_agent = where.options.user_agent;
    request.content_type = form.content_type;
    const auto source = std::make_shared<counted_source>(
        make_file_source(wish.from, form.before, form.after), "sending " + wish.shown_name);
    request.source = source;
    const auto executor = co_await asio::this_coro::executor;
    https_session session(executor, https_address::parse(where.options.api_url),
                          make_client_tls(where.options.ca_file));
    const https_response response = co_await session.request(std::move(request), no_deadline);
    source->finish();
    if (!is_success(response)) throw refused("import the file", response);
    co_return decoded(response.body,
                      [](const std::string& text) { return api::decode_import_job(text); });
}

work run_import(const arguments& words, const service_place& where, client service,
                database_name name, import_wish wish, std::string& id) {
    import_job job;
    if (wish.is_url) {
        job = co_await service.import_url(name, wish.from, wish.options);
    } else {
        job = co_await send_file(where, name, wish);
    }
    id = job.id;
    if (wish.wait) job = co_await wait_for_job(service, job, "importing");
    if (job.state == job_state::failed) throw failed_job("import", job);
    print_job(words, job, api::encode(job));
}

header_row header_of(const arguments& words) {
    const std::string name = words.get("--header").value_or("auto");
    const auto found = api::header_named(name);
    if (!found) {
        throw error(errc::bad_input,
                    "option --header must be auto, first_row or no_header, not \"" + name + "\"");
    }
    return *found;
}

void run_import_command(const arguments& words) {
    import_wish wish;
    wish.from = words.words()[0];
    wish.is_url = wish.from.starts_with("http://") || wish.from.starts_with("https://");
    wish.wait = !words.has("--no-wait");
    wish.options.header = header_of(words);
    wish.options.schema_name = words.get("--schema").value_or("public");
    const bool input = wish.from == "-";
    if (!wish.is_url && !input) require_file(wish.from);
    wish.shown_name = input ? "stdin" : fs::path(wish.from).filename().string();
    const auto table = words.get("--table");
    if (!table && (input || wish.is_url)) {
        throw error(errc::bad_input, "name the table with --table NAME");
    }
    wish.options.table_name = table ? *table : fs::path(wish.from).stem().string();
    const database_name name = database_of(words);
    const service_place where = find_service(words);
    const spooled_input spool(input);
    if (input) wish.from = spool.path();
    std::string id;
    run_at(
        where,
        [&](asio::any_io_executor executor) {
            return run_import(words, where, client(std::move(executor), where.options), name, wish,
                              id);
        },
        [&] { return goes_on(id); });
}

struct export_wish {
    export_options options;
    std::string to;  // "-" for standard output, empty for the name the service gives
    bool overwrite = false;
    bool wait = true;
};

// How files of a format are named.
std::string ending_of(export_format format) {
    const std::string name(api::name_of(format));
    return name == "xls" ? "xlsx" : name;
}

work download_export(const service_place& where, export_job job, std::string to) {
    const http_url link = http_url::parse(job.download_url);
    if (!link.secure) throw error(errc::protocol_violated, "the link to the file is not https");
    // A session of its own: links may lead elsewhere, where the key must not be sent.
    const https_address there(link);
    const https_address ours = https_address::parse(where.options.api_url);
    const bool same = there.host == ours.host && there.port == ours.port;
    https_request request;
    request.user_agent = where.options.user_agent;
    request.target = link.target;
    std::shared_ptr<file_sink> file;
    if (to != "-") file = make_file_sink(to);
    const auto sink = std::make_shared<counted_sink>(file, "receiving " + job.file_name);
    request.sink = sink;
    const auto executor = co_await asio::this_coro::executor;
    const std::string ca_file = same ? where.options.ca_file : std::string();
    https_session session(executor, there, make_client_tls(ca_file));
    const https_response response = co_await session.request(std::move(request), no_deadline);
    sink->finish();
    if (response.status != 200) throw refused("download the file", response);
    if (file) co_await on_strand(asio::make_strand(executor), file, file->finish());
}

work run_export(const arguments& words, const service_place& where, client service,
                database_name name, export_wish wish, std::string& id) {
    export_job job = co_await service.start_export(name, wish.options);
    id = job.id;
    if (!wish.wait) {
        print_job(words, job, api::encode(job));
        co_return;
    }
    job = co_await wait_for_job(service, job, "exporting");
    if (job.state == job_state::failed) throw failed_job("export", job);
    // A name of one's own is a wish to write there; one that the service gives is none.
    std::optional<reserved_file> place;
    if (wish.to.empty()) {
        wish.to = safe_file_name(job.file_name, ending_of(wish.options.format));
        if (!wish.overwrite) place.emplace(wish.to);
    }
    co_await download_export(where, job, wish.to);
    if (place) place->keep();
    if (wish.to != "-") tell("bit: wrote " + wish.to);
}

export_format export_format_of(const arguments& words, const std::string& file) {
    const std::string extension = fs::path(file).extension().string();
    const auto named = words.get("--format");
    std::string name = named ? *named : extension.empty() ? "csv" : extension.substr(1);
    if (name == "xlsx") name = "xls";
    if (const auto found = api::format_named(name)) return *found;
    if (!named) return export_format::csv;
    throw error(errc::bad_input,
                "option --format must be csv, json, xlsx or parquet, not \"" + *named + "\"");
}

void run_export_command(const arguments& words) {
    export_wish wish;
    if (!words.words().empty()) wish.to = words.words()[0];
    const auto table = words.get("--table");
    const bool query = words.has("--query") || words.has("--query_file");
    if (table.has_value() == query) {
        throw error(errc::bad_input, table ? "give either --table or a query, not both"
                                           : "give --table NAME, or a query with -q/--query SQL "
                                             "or -qf/--query_file FILE");
    }
    if (table) {
        wish.options.table_name = *table;
        wish.options.schema_name = words.get("--schema").value_or("public");
    } else {
        const std::vector<std::string> queries = statements_of(words);
        if (queries.size() > 1) {
            throw error(errc::bad_input, "\"bit export\" writes the rows of one query");
        }
        if (queries[0].find_first_not_of("; \t\r\n") == std::string::npos) {
            throw error(errc::bad_input, "the query to export is empty");
        }
        wish.options.query = queries[0];
    }
    wish.options.format = export_format_of(words, wish.to);
    wish.wait = !words.has("--no-wait");
    wish.overwrite = words.has("--overwrite");
    // Bytes of a file do not belong on a terminal; in a pipe they are what is wanted.
    if (wish.to.empty() && !is_terminal(STDOUT_FILENO)) wish.to = "-";
    if (wish.wait && !wish.to.empty() && wish.to != "-") require_place(wish.to);
    const database_name name = database_of(words);
    const service_place where = find_service(words);
    std::string id;
    run_at(
        where,
        [&](asio::any_io_executor executor) {
            return run_export(words, where, client(std::move(executor), where.options), name, wish,
                              id);
        },
        [&] { return goes_on(id); });
}

}  // namespace

std::vector<command> transfer_commands() {
    const option schema{"", "--schema", "NAME", "The table's schema (public)."};
    const option no_wait{"", "--no-wait", "",
                         "Print the job and leave; \"bit status ID\" tells how it is."};
    return {{"import",
             "",
             "Load a file, standard input (-) or a URL into a table.",
             {database_option,
              {"", "--table", "NAME", "The table; by default named as the file."},
              schema,
              {"", "--header", "HEADER",
               "Whether the first row has names: auto, first_row or no_header (auto).", false,
               "auto|first_row|no_header"},
              no_wait},
             {"FILE|URL"},
             &run_import_command},
            {"export",
             "",
             "Write a table or a query's rows into a file, or to standard output (-).",
             {database_option,
              {"", "--table", "NAME", "The table."},
              schema,
              {"-q", "--query", "SQL", "A query instead of a table.", false, "", true},
              {"-qf", "--query_file", "FILE", "A file that holds it; \"-\" is standard input.",
               false, "file", true},
              {"", "--format", "FORMAT",
               "csv, json, xlsx or parquet; by default as the file is named, else csv.", false,
               "csv|json|xlsx|parquet"},
              {"", "--overwrite", "",
               "Without FILE: write over a file that has the name the service gives."},
              no_wait},
             {"[FILE]"},
             &run_export_command}};
}

}  // namespace bitdotio::cli
