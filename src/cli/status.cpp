// The command "status": which service and whose key, or how a job is.
#include "cli/commands.hpp"

#include "cli/output.hpp"
#include "service/job_codec.hpp"

#include <boost/json.hpp>

#include <unistd.h>
#include <optional>
#include <utility>

namespace bitdotio::cli {

namespace {

// What a call of the API found out.
struct reached {
    std::optional<std::string> failure;
    std::optional<std::string> user;
    std::chrono::steady_clock::duration time{};
};

work reach(client service, reached& found) {
    const auto begin = std::chrono::steady_clock::now();
    try {
        const std::vector<database> all = co_await service.list_databases();
        for (const database& one : all) {
            if (one.role == role::owner) found.user = std::string(one.name.user());
        }
    } catch (const error& failure) {
        if (failure.code() == errc::cancelled) throw;
        found.failure = failure.what();
    }
    found.time = std::chrono::steady_clock::now() - begin;
}

void show_service(const arguments& words) {
    const service_place where = find_service(words);
    reached found;
    run_work([&](asio::any_io_executor executor) {
        return reach(client(std::move(executor), where.options), found);
    });
    const std::string postgres =
        where.options.postgres_host.empty()
            ? ""
            : where.options.postgres_host + ":" + std::to_string(where.options.postgres_port);
    const std::string preferred = default_database(where.profile);
    if (wants_json(words)) {
        boost::json::object all{{"api_url", where.options.api_url},
                                {"postgres", postgres},
                                {"profile", where.profile.file.string()},
                                {"key_from", where.key_from},
                                {"database", preferred},
                                {"reachable", !found.failure},
                                {"version", BITDOTIO_VERSION}};
        if (found.user) all["user"] = *found.user;
        if (found.failure) all["failure"] = *found.failure;
        all["milliseconds"] =
            std::chrono::duration_cast<std::chrono::milliseconds>(found.time).count();
        print_json(boost::json::serialize(all));
    } else {
        print("API       " + where.options.api_url + "\n" + "Postgres  " +
              (postgres.empty() ? "not known" : postgres) + "\n" + "Profile   " +
              where.profile.name + " (" + where.profile.file.string() + ")\n" + "Key       from " +
              where.key_from + (found.user ? ", of " + *found.user : "") + "\n" +
              (preferred.empty() ? "" : "Database  " + preferred + "\n") + "Reachable " +
              (found.failure ? "no" : "yes, after " + time_text(found.time)) + "\n" +
              "bit       " BITDOTIO_VERSION "\n");
    }
    if (found.failure) throw error(errc::connect_failed, *found.failure);
}

// A job's id does not tell what it is.
work show_job(client service, std::string id) {
    std::optional<import_job> found;
    try {
        found = co_await service.get_import(id);
    } catch (const error& failure) {
        if (failure.code() != errc::not_found) throw;
    }
    if (found) {
        print_json(api::encode(*found));
        co_return;
    }
    try {
        print_json(api::encode(co_await service.get_export(id)));
    } catch (const error& failure) {
        if (failure.code() != errc::not_found) throw;
        throw failure.with_message("there is no import and no export \"" + id + "\"");
    }
}

void run_status(const arguments& words) {
    if (words.words().empty()) {
        show_service(words);
        return;
    }
    const std::string id = words.words()[0];
    run_with_client(words, [&](client service) { return show_job(std::move(service), id); });
}

}  // namespace

std::vector<command> status_commands() {
    return {{"status",
             "",
             "Tell which service and whose key are used, or how an import or export is.",
             {},
             {"[ID]"},
             &run_status}};
}

}  // namespace bitdotio::cli
