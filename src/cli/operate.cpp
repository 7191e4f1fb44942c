// Sends one request to the server's own paths, with the key of its profile.
#include "cli/operate.hpp"

#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/service.hpp"

#include <bitdotio/api_key.hpp>
#include <bitdotio/database_name.hpp>
#include <bitdotio/error.hpp>

#include "base/percent_encoding.hpp"
#include "service/api_codec.hpp"
#include "service/https_session.hpp"
#include "service/json_fields.hpp"
#include "service/profile.hpp"

#include <boost/asio/this_coro.hpp>
#include <boost/json.hpp>

#include <filesystem>
#include <optional>
#include <utility>

namespace bitdotio::cli {

namespace {

namespace json = boost::json;
using api::text;

// Longer than a wake may take.
constexpr std::chrono::seconds patience{150};

const option profile_option{"",
                            "--profile",
                            "NAME|FILE",
                            "The profile of the server; by default BITIO_PROFILE, else "
                            "~/.config/bitdotio/profile.json.",
                            false,
                            "profile"};

struct question {
    std::string method = "GET";
    std::string target;
    std::string body{};
    /// Prints the answer; null for JSON everywhere.
    void (*print)(const arguments&, const std::string&) = nullptr;
};

std::string path_of(const std::string& database) {
    const database_name name(database);
    return percent_encoded(name.user()) + "/" + percent_encoded(name.database());
}

json::array names_in(const std::string& list) {
    json::array names;
    std::size_t begin = 0;
    while (begin <= list.size()) {
        const std::size_t end = std::min(list.find(',', begin), list.size());
        names.emplace_back(text(database_name(list.substr(begin, end - begin)).full()));
        begin = end + 1;
    }
    return names;
}

question question_of(const arguments& words) {
    const std::string& command = words.command();
    const std::vector<std::string>& given = words.words();
    if (command == "serve sleep" || command == "serve wake" || command == "serve repair") {
        return {"POST",
                "/server/databases/" + path_of(given[0]) + "/" + command.substr(sizeof "serve")};
    }
    if (command == "serve key list") return {"GET", "/server/keys", "", &print_keys};
    if (command == "serve key create") {
        const auto account = words.get("--account");
        return {"POST", "/server/keys",
                account ? json::serialize(json::object{{"account", text(*account)}}) : ""};
    }
    if (command == "serve key revoke")
        return {"DELETE", "/server/keys/" + percent_encoded(given[0])};
    if (command == "serve account list") return {"GET", "/server/accounts", "", &print_accounts};
    if (command == "serve account create") {
        json::object wish{{"name", text(given[0])}, {"role", text(*words.get("--role"))}};
        if (const auto list = words.get("--databases")) wish["databases"] = names_in(*list);
        return {"POST", "/server/accounts", json::serialize(wish)};
    }
    if (command == "serve account remove") {
        return {"DELETE", "/server/accounts/" + percent_encoded(given[0])};
    }
    if (command == "serve account grant" || command == "serve account revoke") {
        return {
            command == "serve account grant" ? "PUT" : "DELETE",
            "/server/accounts/" + percent_encoded(given[0]) + "/databases/" + path_of(given[1])};
    }
    return {"GET", "/server/status", "", &print_server_status};
}

profile running_server(const arguments& words) {
    const std::filesystem::path file = chosen_profile(words).file;
    const auto found = file.empty() ? std::nullopt : read_profile(file);
    if (!found || found->api_url.empty()) {
        throw error(errc::connect_failed,
                    "no server runs here: there is no profile " + file.string() +
                        ", which \"bit serve\" writes when it starts; name another with --profile");
    }
    return *found;
}

asio::awaitable<void> ask(profile where, question what, https_response& answer) {
    https_session session(co_await asio::this_coro::executor, https_address::parse(where.api_url),
                          make_client_tls(where.ca_file));
    https_request request;
    request.method = what.method;
    request.target = what.target;
    request.body = what.body;
    request.authorization = "Bearer " + where.key;
    request.user_agent = "bit/" BITDOTIO_VERSION;
    std::string absent;
    try {
        answer = co_await session.request(std::move(request), deadline_after(patience));
    } catch (const error& failure) {
        if (failure.code() != errc::connect_failed) throw;
        absent = failure.what();
    }
    if (!absent.empty()) {
        throw error(errc::connect_failed, "no server answers at " + where.api_url +
                                              ", where the profile says one runs: it may have "
                                              "been killed; start it again with \"bit serve\" (" +
                                              absent + ")");
    }
}

}  // namespace

std::vector<command> operate_commands() {
    std::vector<command> all = {
        {"serve status",
         "",
         "Tell about databases, connections and jobs of the running server.",
         {profile_option}},
        {"serve sleep",
         "",
         "Put a database to sleep now, ending its sessions.",
         {profile_option},
         {"DB"}},
        {"serve wake", "", "Wake a database.", {profile_option}, {"DB"}},
        {"serve repair",
         "",
         "Put right what keys have changed that keeps others out of a database.",
         {profile_option},
         {"DB"}},
        {"serve key list",
         "",
         "List the keys of the user and of his service accounts.",
         {profile_option}},
        {"serve key create",
         "",
         "Make a further key, which is shown this once.",
         {{"", "--account", "NAME", "For this service account, not the user."}, profile_option}},
        {"serve key revoke",
         "",
         "Make a key worthless; \"key list\" has its ID.",
         {profile_option},
         {"ID"}},
        {"serve account list", "", "List the service accounts.", {profile_option}},
        {"serve account create",
         "",
         "Make a service account.",
         {{"", "--role", "ROLE", "ADMIN, WRITER or READER.", true, "ADMIN|WRITER|READER"},
          {"", "--databases", "NAMES", "Which it may use, separated by commas."},
          profile_option},
         {"NAME"}},
        {"serve account grant",
         "",
         "Let a service account use a further database.",
         {profile_option},
         {"NAME", "DB"}},
        {"serve account revoke",
         "",
         "Let it use a database no longer.",
         {profile_option},
         {"NAME", "DB"}},
        {"serve account remove",
         "",
         "Remove a service account with its keys.",
         {profile_option},
         {"NAME"}},
    };
    for (command& each : all)
        each.run = &run_operate_command;
    return all;
}

std::string ask_server(const profile& where, const std::string& method, const std::string& target,
                       const std::string& body) {
    question what;
    what.method = method;
    what.target = target;
    what.body = body;
    https_response answer;
    run_work([&](const asio::any_io_executor&) { return ask(where, what, answer); });
    if (answer.status < 200 || answer.status > 299) {
        const api::error_answer said = api::decode_error(answer.body);
        throw error(errc::api_failed,
                    (said.message.empty() ? "the server gave no reason" : said.message) +
                        " (HTTP " + std::to_string(answer.status) + ")")
            .with_http(answer.status, answer.body);
    }
    return answer.body;
}

void run_operate_command(const arguments& words) {
    const question what = question_of(words);
    profile where = running_server(words);
    const auto key = words.get(key_option);
    const auto file = words.get("--key-file");
    if (file && (!key || words.is_from_environment(key_option))) {
        where.key = key_in_file(*file).reveal();
    } else if (key) {
        where.key = api_key(*key).reveal();
    }
    const std::string answer = ask_server(where, what.method, what.target, what.body);
    if (what.print) {
        what.print(words, answer);
    } else {
        print_json(answer);
    }
}

}  // namespace bitdotio::cli
