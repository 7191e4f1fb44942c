// Whose key was shown or proven; keys and service accounts.
#include "server/catalog/catalog.hpp"

#include <bitdotio/error.hpp>

#include "base/blocking.hpp"
#include "server/base/event_log.hpp"
#include "server/catalog/catalog_strand.hpp"

#include <cstddef>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

namespace bitdotio {

namespace {

// With more keys, a proof is held against them on a thread of its own.
constexpr std::size_t proven_in_place = 16;

void deny_service(const caller& who) {
    if (who.is_service) {
        throw error(errc::permission_denied,
                    "this is not for service accounts: use the key of a user");
    }
}

issued_key make_key(catalog_rules& all, const std::string& account, std::string name) {
    issued_key made;
    made.key = all.add_key(account, catalog_now());
    made.username = std::move(name);
    return made;
}

}  // namespace

// ---- callers

caller catalog::known_caller(const api_key& key, const std::string& address) {
    const auto who = known_.find_caller(key);
    if (!who) refuse_key(address);
    if (known_.lacks_verifier(who->key)) keep_verifier_later(key);
    return *who;
}

void catalog::refuse_key(const std::string& address) {
    if (const auto wait = gate_.failure(address, std::chrono::steady_clock::now())) {
        throw too_often("too many wrong API keys came from this address", *wait);
    }
    throw error(errc::authentication_failed, "the API key is not one of this server");
}

// Keys made by an older version have no verifier until they are shown. One is written at a time;
// others wait until they are shown again.
void catalog::keep_verifier_later(const api_key& key) {
    if (!file_ || std::exchange(keeps_verifier_, true)) return;
    spawn_alone(strand_, keep_verifier(shared_from_this(), key),
                failure_report(options_.events, "a key's verifier"));
}

asio::awaitable<void> catalog::keep_verifier(std::shared_ptr<catalog> self, api_key key) {
    std::function<nothing(catalog_rules&)> edit = [key = std::move(key)](catalog_rules& all) {
        all.keep_verifier(key);
        return nothing();
    };
    std::exception_ptr failure;
    try {
        co_await self->do_change(std::move(edit));
    } catch (...) {
        failure = std::current_exception();
    }
    keeps_verifier_ = false;
    // A server that is stopping keeps none.
    if (failure && file_) std::rethrow_exception(failure);
}

asio::awaitable<std::optional<scram_secret>> catalog::scram_terms() {
    std::function<std::optional<scram_secret>()> work = [this] { return known_.scram_terms(); };
    return look(std::move(work));
}

std::shared_ptr<const std::vector<provable_key>> catalog::provable_keys() {
    if (!provable_) {
        provable_ = std::make_shared<const std::vector<provable_key>>(known_.provable_keys());
    }
    return provable_;
}

// The proof is held against the keys beside the strand: with many keys that takes milliseconds, in
// which all other calls would wait.
asio::awaitable<proven_caller> catalog::admit_proof(std::shared_ptr<const scram_server> shown,
                                                    std::string address) {
    using keys = std::shared_ptr<const std::vector<provable_key>>;
    std::function<keys()> take = [this] { return provable_keys(); };
    const keys all = co_await look(std::move(take));
    const auto proven = std::make_shared<std::optional<proven_key>>();
    std::function<void()> work = [=] { *proven = prove(*all, *shown); };
    if (all->size() > proven_in_place) {
        co_await run_blocking(std::move(work));
    } else {
        work();
    }
    std::function<proven_caller()> judge = [this, proven, address = std::move(address)] {
        // It may have been revoked meanwhile.
        const auto who = *proven ? known_.holder_of((*proven)->id) : std::nullopt;
        if (!who) refuse_key(address);
        proven_caller found;
        found.who = *who;
        found.signature = std::move((*proven)->signature);
        return found;
    };
    co_return co_await look(std::move(judge));
}

asio::awaitable<caller> catalog::admit(api_key key, std::string address) {
    std::function<caller()> work = [this, key = std::move(key), address = std::move(address)] {
        return known_caller(key, address);
    };
    return look(std::move(work));
}

asio::awaitable<caller> catalog::admit_call(api_key key, std::string address) {
    std::function<caller()> work = [this, key = std::move(key), address = std::move(address)] {
        const caller who = known_caller(key, address);
        if (const auto wait = gate_.call(who.key, std::chrono::steady_clock::now())) {
            throw too_often("too many calls with this API key", *wait);
        }
        return who;
    };
    return look(std::move(work));
}

asio::awaitable<void> catalog::note_failure(std::string address) {
    std::function<nothing()> work = [this, address = std::move(address)] {
        if (const auto wait = gate_.failure(address, std::chrono::steady_clock::now())) {
            throw too_often("too many requests without an API key came from this address", *wait);
        }
        return nothing();
    };
    co_await look(std::move(work));
}

// ---- keys and service accounts

asio::awaitable<issued_key> catalog::add_key(caller who) {
    std::function<issued_key(catalog_rules&)> edit = [who = std::move(who)](catalog_rules& all) {
        deny_service(who);
        return make_key(all, who.account, who.name);
    };
    return change(std::move(edit));
}

asio::awaitable<void> catalog::revoke_keys(caller who, std::optional<api_key> key) {
    std::function<nothing(catalog_rules&)> edit = [who = std::move(who),
                                                   key = std::move(key)](catalog_rules& all) {
        deny_service(who);
        all.revoke_keys(who.account, key, catalog_now());
        return nothing();
    };
    co_await change(std::move(edit));
}

asio::awaitable<std::vector<service_account>> catalog::accounts(caller who) {
    std::function<std::vector<service_account>()> work = [this, who = std::move(who)] {
        deny_service(who);
        return known_.accounts(who.account);
    };
    return look(std::move(work));
}

asio::awaitable<service_account> catalog::find_account(caller who, std::string id) {
    std::function<service_account()> work = [this, who = std::move(who), id = std::move(id)] {
        deny_service(who);
        return known_.find_account(who.account, id);
    };
    return look(std::move(work));
}

asio::awaitable<issued_key> catalog::add_account_key(caller who, std::string id) {
    std::function<issued_key(catalog_rules&)> edit = [who = std::move(who),
                                                      id = std::move(id)](catalog_rules& all) {
        deny_service(who);
        return make_key(all, id, all.find_account(who.account, id).name);
    };
    return change(std::move(edit));
}

asio::awaitable<void> catalog::revoke_account_keys(caller who, std::string id) {
    std::function<nothing(catalog_rules&)> edit = [who = std::move(who),
                                                   id = std::move(id)](catalog_rules& all) {
        deny_service(who);
        all.find_account(who.account, id);
        all.revoke_keys(id, std::nullopt, catalog_now());
        return nothing();
    };
    co_await change(std::move(edit));
}

asio::awaitable<std::vector<key_row>> catalog::keys(caller who) {
    std::function<std::vector<key_row>()> work = [this, who = std::move(who)] {
        deny_service(who);
        return known_.keys(who.account);
    };
    return look(std::move(work));
}

asio::awaitable<void> catalog::revoke_key(caller who, std::string id) {
    std::function<nothing(catalog_rules&)> edit = [who = std::move(who),
                                                   id = std::move(id)](catalog_rules& all) {
        deny_service(who);
        all.revoke_key(who.account, id, catalog_now());
        return nothing();
    };
    co_await change(std::move(edit));
}

// ---- functions without a call in the API

asio::awaitable<caller> catalog::find_user(std::string name) {
    std::function<caller()> work = [this, name = std::move(name)] {
        return known_.find_user(name);
    };
    return look(std::move(work));
}

asio::awaitable<std::vector<std::string>> catalog::accounts_among(std::vector<std::string> ids) {
    std::function<std::vector<std::string>()> work = [this, ids = std::move(ids)] {
        std::vector<std::string> known;
        for (const std::string& plain : ids) {
            std::string id = plain;
            for (const std::size_t at : {8, 13, 18, 23}) {  // where a UUID has its hyphens
                if (id.size() > at) id.insert(at, 1, '-');
            }
            if (known_.state().accounts.contains(id)) known.push_back(plain);
        }
        return known;
    };
    return look(std::move(work));
}

asio::awaitable<service_account> catalog::create_account(std::string user, std::string name,
                                                         role what,
                                                         std::vector<database_name> databases) {
    std::function<service_account(catalog_rules&)> edit =
        [user = std::move(user), name = std::move(name), what,
         databases = std::move(databases)](catalog_rules& all) {
            const std::string owner = all.find_user(user).account;
            const std::string id = all.create_account(owner, name, what, catalog_now()).id;
            for (const database_name& each : databases) {
                all.grant(owner, id, each, catalog_now());
            }
            return all.find_account(owner, id);
        };
    return change(std::move(edit));
}

asio::awaitable<void> catalog::remove_account(std::string user, std::string id) {
    std::function<nothing(catalog_rules&)> edit = [user = std::move(user),
                                                   id = std::move(id)](catalog_rules& all) {
        all.remove_account(all.find_user(user).account, id);
        return nothing();
    };
    co_await change(std::move(edit));
}

asio::awaitable<service_account> catalog::grant(std::string user, std::string id,
                                                database_name name) {
    std::function<service_account(catalog_rules&)> edit =
        [user = std::move(user), id = std::move(id), name = std::move(name)](catalog_rules& all) {
            const std::string owner = all.find_user(user).account;
            all.grant(owner, id, name, catalog_now());
            return all.find_account(owner, id);
        };
    return change(std::move(edit));
}

asio::awaitable<service_account> catalog::revoke(std::string user, std::string id,
                                                 database_name name) {
    std::function<service_account(catalog_rules&)> edit =
        [user = std::move(user), id = std::move(id), name = std::move(name)](catalog_rules& all) {
            const std::string owner = all.find_user(user).account;
            all.revoke(owner, id, name, catalog_now());
            return all.find_account(owner, id);
        };
    return change(std::move(edit));
}

}  // namespace bitdotio
