// The commands "key …" and "service-account …".
#include "cli/commands.hpp"

#include <bitdotio/api_key.hpp>

#include "base/percent_encoding.hpp"
#include "cli/operate.hpp"
#include "cli/output.hpp"
#include "service/api_codec.hpp"

#include <utility>

namespace bitdotio::cli {

namespace {

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
    print_json(ask_about_keys(words, "GET", "/server/keys"));
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

work list_accounts(client service) {
    print_json(api::encode(co_await service.list_service_accounts()));
}

work tell_account(client service, std::string id) {
    print_json(api::encode(co_await service.get_service_account(std::move(id))));
}

work make_account_key(client service, std::string id) {
    print_json(api::encode(co_await service.create_service_account_key(std::move(id))));
}

work revoke_account_keys(client service, std::string id) {
    co_await service.revoke_service_account_keys(id);
    print("revoked the keys of " + id + "\n");
}

void run_account_list(const arguments& words) {
    run_with_client(words, [](client service) { return list_accounts(std::move(service)); });
}

void run_account_info(const arguments& words) {
    const std::string id = words.words()[0];
    run_with_client(words, [&](client service) { return tell_account(std::move(service), id); });
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
