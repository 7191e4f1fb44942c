// The catalog's strand, its file, and the first key.
#include "server/catalog.hpp"

#include <bitdotio/error.hpp>

#include "blocking.hpp"
#include "deadline.hpp"
#include "server/replace_file.hpp"

#include <utility>

namespace bitdotio {

namespace {

records::time now() {
    return std::chrono::time_point_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now());
}

struct opened {
    records known;
    std::optional<api_key> first_key;
};

void read(opened& result, const std::filesystem::path& directory, const std::string& user) {
    try {
        const database_name possible(user + "/x");
        if (possible.user() != user) {
            throw error(errc::bad_input, "it contains a \"/\"");
        }
    } catch (const error& failure) {
        throw error(errc::bad_input,
                    "\"" + user + "\" cannot be the user of databases: " + failure.what());
    }
    const std::filesystem::path file = directory / "catalog.json";
    const std::filesystem::path key_file = directory / "first-key";
    if (const auto text = read_file(file)) {
        try {
            result.known = records::from_json(*text);
        } catch (const error& failure) {
            throw error(errc::system_failed, file.string() + ": " + failure.what());
        }
    }
    if (auto text = read_file(key_file)) {
        while (text->ends_with('\n')) {
            text->pop_back();
        }
        try {
            result.first_key.emplace(*text);
        } catch (const error&) {
            throw error(errc::system_failed, key_file.string() +
                                                 " does not hold a key: remove "
                                                 "it, and a new one is made");
        }
        if (result.known.user_of(*result.first_key) == user) {
            return;
        }
    }
    // The key's file goes first: a crash in between leaves a key that is nobody's, which the next
    // start replaces, and never a user whose key is lost.
    result.first_key = result.known.add_key(user, now());
    replace_file(key_file, result.first_key->reveal() + "\n");
    replace_file(file, result.known.to_json());
}

}  // namespace

asio::awaitable<std::shared_ptr<catalog>> catalog::open(asio::any_io_executor executor,
                                                        std::filesystem::path directory,
                                                        std::string user) {
    return on_strand(asio::make_strand(executor), nullptr,
                     do_open(executor, std::move(directory), std::move(user)));
}

asio::awaitable<std::shared_ptr<catalog>> catalog::do_open(asio::any_io_executor executor,
                                                           std::filesystem::path directory,
                                                           std::string user) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const auto result = std::make_shared<opened>();
    std::function<void()> work = [=] { read(*result, directory, user); };
    co_await run_blocking(std::move(work));
    co_return std::make_shared<catalog>(std::move(executor), directory / "catalog.json",
                                        std::move(result->known), *result->first_key);
}

catalog::catalog(asio::any_io_executor executor, std::filesystem::path file, records known,
                 api_key first_key)
    : strand_(asio::make_strand(std::move(executor))),
      file_(std::move(file)),
      first_key_(std::move(first_key)),
      known_(std::move(known)),
      writers_(1) {}

// Changes a copy, writes it, and only then shows it.
template <class Edit>
asio::awaitable<void> catalog::change(Edit& edit) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await writers_.enter();
    std::exception_ptr failure;
    try {
        records changed = known_;
        edit(changed);
        std::function<void()> write = [file = file_, text = changed.to_json()] {
            replace_file(file, text);
        };
        co_await run_blocking(std::move(write));
        known_ = std::move(changed);
    } catch (...) {
        failure = std::current_exception();
    }
    writers_.leave();
    if (failure) {
        std::rethrow_exception(failure);
    }
}

asio::awaitable<std::string> catalog::user_of(api_key key) {
    return on_strand(strand_, shared_from_this(), do_user_of(std::move(key)));
}

asio::awaitable<std::string> catalog::do_user_of(api_key key) {
    std::string user = known_.user_of(key);
    if (user.empty()) {
        throw error(errc::authentication_failed, "the API key is not one of this server");
    }
    co_return user;
}

asio::awaitable<std::vector<database>> catalog::list(std::string user) {
    return on_strand(strand_, shared_from_this(), do_list(std::move(user)));
}

asio::awaitable<std::vector<database>> catalog::do_list(std::string user) {
    co_return known_.list(user);
}

asio::awaitable<database> catalog::find(std::string user, database_name name) {
    return on_strand(strand_, shared_from_this(), do_find(std::move(user), std::move(name)));
}

asio::awaitable<database> catalog::do_find(std::string user, database_name name) {
    co_return known_.find(user, name);
}

asio::awaitable<std::vector<std::string>> catalog::ids() {
    return on_strand(strand_, shared_from_this(), do_ids());
}

asio::awaitable<std::vector<std::string>> catalog::do_ids() {
    co_return known_.ids();
}

asio::awaitable<database> catalog::create(std::string id, std::string user, std::string name,
                                          bool is_private, std::optional<std::int64_t> limit) {
    return on_strand(strand_, shared_from_this(),
                     do_create(std::move(id), std::move(user), std::move(name), is_private, limit));
}

asio::awaitable<database> catalog::do_create(std::string id, std::string user, std::string name,
                                             bool is_private, std::optional<std::int64_t> limit) {
    database made;
    auto edit = [&](records& all) { made = all.create(id, user, name, is_private, limit, now()); };
    co_await change(edit);
    co_return made;
}

asio::awaitable<database> catalog::update(std::string user, database_name name,
                                          database_changes changes) {
    return on_strand(strand_, shared_from_this(),
                     do_update(std::move(user), std::move(name), std::move(changes)));
}

asio::awaitable<database> catalog::do_update(std::string user, database_name name,
                                             database_changes changes) {
    database updated;
    auto edit = [&](records& all) { updated = all.update(user, name, changes); };
    co_await change(edit);
    co_return updated;
}

asio::awaitable<database> catalog::remove(std::string user, database_name name) {
    return on_strand(strand_, shared_from_this(), do_remove(std::move(user), std::move(name)));
}

asio::awaitable<database> catalog::do_remove(std::string user, database_name name) {
    database removed;
    auto edit = [&](records& all) { removed = all.remove(user, name); };
    co_await change(edit);
    co_return removed;
}

asio::awaitable<api_key> catalog::add_key(std::string user) {
    const std::optional<api_key> key =
        co_await on_strand(strand_, shared_from_this(), do_add_key(std::move(user)));
    co_return *key;
}

// Optional, because co_spawn wants a value it can make without one.
asio::awaitable<std::optional<api_key>> catalog::do_add_key(std::string user) {
    std::optional<api_key> key;
    auto edit = [&](records& all) { key = all.add_key(user, now()); };
    co_await change(edit);
    co_return key;
}

asio::awaitable<void> catalog::revoke_keys(std::string user, std::optional<api_key> key) {
    return on_strand(strand_, shared_from_this(), do_revoke_keys(std::move(user), std::move(key)));
}

asio::awaitable<void> catalog::do_revoke_keys(std::string user, std::optional<api_key> key) {
    auto edit = [&](records& all) { all.revoke_keys(user, key); };
    co_await change(edit);
}

}  // namespace bitdotio
