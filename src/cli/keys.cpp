// The commands "key …" and "service-account …".
#include "cli/commands.hpp"

#include <bitdotio/api_key.hpp>

#include "base/percent_encoding.hpp"
#include "cli/operate.hpp"
#include "cli/output.hpp"
#include "cli/row_writer.hpp"
#include "service/api_codec.hpp"

#include <boost/json.hpp>

#include <utility>

namespace bitdotio::cli {

namespace {

namespace json = boost::json;

profile profile_of(const service_place& where) {
    profile made;
    made.api_url = where.options.api_url;
    made.ca_file = where.options.ca_file;
    made.key = where.options.key->reveal();
    return made;
}

// The API itself knows keys only by their text; "bit serve" lists and revokes them by their ids.
std::string ask_about_keys(const arguments& words, const std::string& method,
                           const std::string& target) {
    const service_place where = find_service(words);
    try {
        return ask_server(profile_of(where), method, target);
    } catch (const error& failure) {
        if (failure.http_status() != 404 || method != "GET") throw;
        throw error(errc::api_failed, "the service at " + where.options.api_url +
                                          " has no list of keys; \"bit serve\" has")
            .with_http(404, failure.http_body());
    }
}

void run_key_list(const arguments& words) {
    print_keys(words, ask_about_keys(words, "GET", "/server/keys"));
}

work make_own_key(client service) {
    print_json(api::encode(co_await service.create_api_key()));
}

void run_key_create(const arguments& words) {
    run_with_client(words, [](client service) { return make_own_key(std::move(service)); });
}

work revoke_own_keys(client service) {
    co_await service.revoke_api_keys();
    print("revoked all keys\n");
}

void run_key_revoke(const arguments& words) {
    if (words.has("--all") != words.words().empty()) {
        throw error(errc::bad_input, words.has("--all")
                                         ? "give either an ID or --all, not both"
                                         : "\"bit key revoke\" needs ID, which \"bit key list\" "
                                           "shows, or --all");
    }
    if (!words.has("--all")) {
        print_json(
            ask_about_keys(words, "DELETE", "/server/keys/" + percent_encoded(words.words()[0])));
        return;
    }
    const service_place where = find_service(words);
    confirm(words, "Revoke all keys of this key's owner at " + where.options.api_url +
                       ", this one among them?");
    run_with_client(where, [](client service) { return revoke_own_keys(std::move(service)); });
}

void show_accounts(const arguments& words, const std::vector<service_account>& all) {
    std::vector<std::vector<cell>> rows;
    for (const service_account& one : all) {
        std::string databases;
        for (const service_account::grant& each : one.databases)
            databases += (databases.empty() ? "" : ", ") + each.name.full();
        rows.push_back({one.id, one.name, std::string(api::role_name(one.role)), databases,
                        std::to_string(one.active_token_count), day_text(one.date_created)});
    }
    print_table(words,
                {{"id", ""},
                 {"account", ""},
                 {"role", ""},
                 {"databases", ""},
                 {"keys", "bigint"},
                 {"made", ""}},
                rows);
}

work list_accounts(const arguments& words, client service) {
    const std::vector<service_account> all = co_await service.list_service_accounts();
    if (wants_json(words)) {
        print_json(api::encode(all));
    } else {
        show_accounts(words, all);
    }
}

work tell_account(const arguments& words, client service, std::string id) {
    const service_account one = co_await service.get_service_account(std::move(id));
    if (wants_json(words)) {
        print_json(api::encode(one));
    } else {
        show_accounts(words, {one});
    }
}

work make_account_key(client service, std::string id) {
    print_json(api::encode(co_await service.create_service_account_key(std::move(id))));
}

work revoke_account_keys(client service, std::string id) {
    co_await service.revoke_service_account_keys(id);
    print("revoked the keys of " + id + "\n");
}

void run_account_list(const arguments& words) {
    run_with_client(words,
                    [&](client service) { return list_accounts(words, std::move(service)); });
}

void run_account_info(const arguments& words) {
    const std::string id = words.words()[0];
    run_with_client(words,
                    [&](client service) { return tell_account(words, std::move(service), id); });
}

void run_account_create_key(const arguments& words) {
    const std::string id = words.words()[0];
    run_with_client(words,
                    [&](client service) { return make_account_key(std::move(service), id); });
}

void run_account_revoke_keys(const arguments& words) {
    const std::string id = words.words()[0];
    const service_place where = find_service(words);
    confirm(words,
            "Revoke all keys of the service account " + id + " at " + where.options.api_url + "?");
    run_with_client(where,
                    [&](client service) { return revoke_account_keys(std::move(service), id); });
}

}  // namespace

void print_keys(const arguments& words, const std::string& body) {
    if (wants_json(words)) {
        print_json(body);
        return;
    }
    std::vector<std::vector<cell>> rows;
    const json::object answer = api::parse_object(body);
    const json::value* const list = api::find(answer, "keys");
    for (const json::value& each : list && list->is_array() ? list->get_array() : json::array()) {
        const json::object one = each.is_object() ? each.get_object() : json::object();
        rows.push_back({api::required_string(one, "id"), api::required_string(one, "account"),
                        day_text(api::optional_time(one, "created")),
                        day_text(api::optional_time(one, "revoked"))});
    }
    print_table(words, {{"id", ""}, {"account", ""}, {"made", ""}, {"revoked", ""}}, rows);
}

void print_accounts(const arguments& words, const std::string& body) {
    if (wants_json(words)) {
        print_json(body);
    } else {
        show_accounts(words, api::decode_service_accounts(body));
    }
}

std::vector<command> key_commands() {
    return {{"key create",
             "",
             "Make a further key of one's own, which is shown this once.",
             {},
             {},
             &run_key_create},
            {"key list", "", "List one's keys by their ids.", {}, {}, &run_key_list},
            {"key revoke",
             "",
             "Make a key worthless, or all of one's own.",
             {{"", "--all", "", "All keys, the one in use among them."}, yes_option},
             {"[ID]"},
             &run_key_revoke},
            {"service-account list", "", "List the service accounts.", {}, {}, &run_account_list},
            {"service-account info",
             "",
             "Tell about a service account.",
             {},
             {"ID"},
             &run_account_info},
            {"service-account create-key",
             "",
             "Make a key for a service account, which is shown this once.",
             {},
             {"ID"},
             &run_account_create_key},
            {"service-account revoke-keys",
             "",
             "Make all keys of a service account worthless.",
             {yes_option},
             {"ID"},
             &run_account_revoke_keys}};
}

}  // namespace bitdotio::cli
