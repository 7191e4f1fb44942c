// The catalog's file, the first key, the databases, and the count of their rows.
#include "server/catalog/catalog.hpp"

#include <bitdotio/error.hpp>

#include "base/blocking.hpp"
#include "base/deadline.hpp"
#include "server/base/event_log.hpp"
#include "server/base/replace_file.hpp"
#include "server/catalog/catalog_strand.hpp"

#include <utility>

namespace bitdotio {

namespace {

// How long counted rows may wait to be written; a crash loses them.
constexpr std::chrono::seconds usage_delay{1};

std::chrono::sys_seconds this_second() {
    return std::chrono::floor<std::chrono::seconds>(catalog_now());
}

struct opened {
    std::shared_ptr<catalog_file> file;
    catalog_rules known;
    std::optional<api_key> first_key;
};

void read(opened& result, const catalog_options& options) {
    const std::filesystem::path file = options.directory / "state.sqlite";
    const std::filesystem::path key_file = options.directory / "first-key";
    if (!std::filesystem::exists(file) &&
        std::filesystem::exists(options.directory / "catalog.json")) {
        throw error(errc::system_failed,
                    "the data directory " + options.directory.string() +
                        " is of a version of this server that was never released: name another");
    }
    result.file = std::make_shared<catalog_file>(file);
    result.known = catalog_rules(result.file->load());
    result.known.forget_names(catalog_now());
    const std::string user = result.known.user(options.user, catalog_now());
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
        const auto owner = result.known.find_caller(*result.first_key);
        if (owner && owner->account == user) {
            result.known.keep_verifier(*result.first_key);  // it may be of an older version
            result.file->apply(result.known.take_changes());
            return;
        }
    }
    // The key's file is written first: a crash in between leaves a key without a user, which the
    // next start replaces, and never a user whose key is lost.
    result.first_key = result.known.add_key(user, catalog_now());
    replace_file(key_file, result.first_key->reveal() + "\n");
    result.file->apply(result.known.take_changes());
}

}  // namespace

asio::awaitable<std::shared_ptr<catalog>> catalog::open(asio::any_io_executor executor,
                                                        catalog_options options) {
    return on_strand(strand(executor), nullptr, do_open(executor, std::move(options)));
}

asio::awaitable<std::shared_ptr<catalog>> catalog::do_open(asio::any_io_executor executor,
                                                           catalog_options options) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const auto result = std::make_shared<opened>();
    std::function<void()> work = [=] { read(*result, options); };
    co_await run_blocking(std::move(work));
    co_return std::make_shared<catalog>(std::move(executor), std::move(options), result->file,
                                        std::move(result->known), *result->first_key);
}

catalog::catalog(asio::any_io_executor executor, catalog_options options,
                 std::shared_ptr<catalog_file> file, catalog_rules known, api_key first_key)
    : strand_(std::move(executor)),
      options_(std::move(options)),
      file_(std::move(file)),
      first_key_(std::move(first_key)),
      known_(std::move(known)),
      meter_(known_.state().rows_queried),
      gate_(options_.calls),
      writers_(1),
      pause_(strand_) {}

void catalog::check_open() const {
    if (!file_) {
        throw error(errc::conflict, "the server has been stopped");
    }
}

// Logs what a change means. `before` has the names of removed accounts.
void catalog::report(const catalog_changes& changes, const catalog_rules& before) const {
    const auto& events = options_.events;
    if (!events) return;
    const auto name_of = [&](const std::string& id) {
        for (const catalog_rules* each : {&known_, &before}) {
            const auto found = each->state().accounts.find(id);
            if (found != each->state().accounts.end()) return found->second.name;
        }
        return std::string();
    };
    for (const state_change& change : changes) {
        if (const auto* key = std::get_if<key_row>(&change)) {
            // Only its verifier is new.
            if (!key->revoked && before.state().keys.contains(key->id)) continue;
            server_event event(key->revoked ? "key_revoked" : "key_made");
            events->tell(event.with("key", key->id).with("account", name_of(key->account)));
        } else if (const auto* made = std::get_if<account_row>(&change)) {
            events->tell(server_event("account_made").with("account", made->name));
        } else if (const auto* gone = std::get_if<account_removal>(&change)) {
            events->tell(server_event("account_removed").with("account", name_of(gone->id)));
        } else if (const auto* database = std::get_if<database_removal>(&change)) {
            events->forget_database(database->id);
        }
    }
}

database catalog::told(database known) const {
    const std::chrono::sys_seconds now = this_second();
    known.usage_current = meter_.current(known.id, now);
    known.usage_previous = meter_.previous(known.id, now);
    return known;
}

// ---- databases

asio::awaitable<std::vector<database>> catalog::list(caller who) {
    std::function<std::vector<database>()> work = [this, who = std::move(who)] {
        std::vector<database> all = known_.list(who);
        for (database& each : all) {
            each = told(std::move(each));
        }
        return all;
    };
    return look(std::move(work));
}

asio::awaitable<database> catalog::find(caller who, database_name name) {
    std::function<database()> work = [this, who = std::move(who), name = std::move(name)] {
        return told(known_.find(who, name, catalog_now()));
    };
    return look(std::move(work));
}

asio::awaitable<void> catalog::check_free(caller who, std::string name) {
    std::function<nothing()> work = [this, who = std::move(who), name = std::move(name)] {
        known_.check_free(who, name, catalog_now());
        return nothing();
    };
    co_await look(std::move(work));
}

asio::awaitable<database> catalog::create(caller who, std::string id, std::string name,
                                          bool is_private, std::optional<std::int64_t> limit) {
    std::function<database(catalog_rules&)> edit = [this, who = std::move(who), id = std::move(id),
                                                    name = std::move(name), is_private,
                                                    limit](catalog_rules& all) {
        return told(all.create(who, id, name, is_private, limit.value_or(options_.storage_limit),
                               catalog_now()));
    };
    return change(std::move(edit));
}

asio::awaitable<database> catalog::update(caller who, database_name name,
                                          database_changes changes) {
    std::function<database(catalog_rules&)> edit =
        [this, who = std::move(who), name = std::move(name), changes = std::move(changes)](
            catalog_rules& all) { return told(all.update(who, name, changes, catalog_now())); };
    return change(std::move(edit));
}

asio::awaitable<database> catalog::remove(caller who, database_name name) {
    std::function<database(catalog_rules&)> edit = [this, who = std::move(who),
                                                    name = std::move(name)](catalog_rules& all) {
        const database removed = told(all.remove(who, name, catalog_now()));
        return removed;
    };
    const auto self = shared_from_this();
    database removed = co_await change(std::move(edit));
    std::function<nothing()> forget = [this, id = removed.id] {
        meter_.forget(id);
        return nothing();
    };
    co_await look(std::move(forget));
    co_return removed;
}

asio::awaitable<std::vector<std::string>> catalog::ids() {
    std::function<std::vector<std::string>()> work = [this] { return known_.ids(); };
    return look(std::move(work));
}

asio::awaitable<std::int64_t> catalog::storage_limit(std::string id) {
    std::function<std::int64_t()> work = [this, id = std::move(id)] {
        return known_.storage_limit(id).value_or(0);
    };
    return look(std::move(work));
}

void catalog::count_rows(std::string id, std::int64_t rows) {
    if (rows > 0) {
        // Not posted: the next call, perhaps `close`, must not overtake it.
        auto count = [self = shared_from_this(), id = std::move(id), rows] {
            self->do_count_rows(id, rows);
        };
        dispatch_work(strand_, guarded(std::move(count), on_failure()));
    }
}

void catalog::do_count_rows(const std::string& id, std::int64_t rows) {
    if (!file_ || !known_.storage_limit(id)) {
        return;
    }
    meter_.count(id, rows, this_second());
    if (options_.events) options_.events->rows(static_cast<std::size_t>(rows));
    if (!std::exchange(writes_later_, true)) {
        spawn_alone(strand_, write_usage_later(), on_failure());
    }
}

failure_report catalog::on_failure() const noexcept {
    return failure_report(options_.events, "the count of rows");
}

asio::awaitable<void> catalog::write_usage_later() {
    const auto self = shared_from_this();
    boost::system::error_code ended;
    pause_.expires_after(usage_delay);
    co_await pause_.async_wait(asio::redirect_error(asio::use_awaitable, ended));
    writes_later_ = false;
    co_await write_usage();  // if the disk is full, the counts are kept and written next time
}

asio::awaitable<void> catalog::write_usage() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const auto mine = co_await writers_.enter();
    const auto fresh = meter_.take_fresh();
    std::exception_ptr failure;
    if (file_ && !fresh.empty()) {
        catalog_changes changes;
        for (const auto& [period, rows] : fresh) {
            changes.push_back(usage_change{period, rows});
        }
        std::function<void()> write = [file = file_, changes = std::move(changes)] {
            file->apply(changes);
        };
        try {
            co_await run_blocking(std::move(write));
        } catch (...) {
            failure = std::current_exception();
        }
    }
    if (failure) {
        meter_.put_back(fresh);
        std::rethrow_exception(failure);
    }
}

asio::awaitable<void> catalog::close() {
    return on_strand(strand_, shared_from_this(), do_close());
}

asio::awaitable<void> catalog::do_close() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    pause_.cancel();
    std::exception_ptr failure;
    try {
        co_await write_usage();
    } catch (...) {
        failure = std::current_exception();
    }
    const auto mine = co_await writers_.enter();
    std::function<void()> end = [file = std::exchange(file_, nullptr)]() mutable {
        file.reset();  // the last reference: closes the file
    };
    co_await run_blocking(std::move(end));
    if (failure) {
        std::rethrow_exception(failure);
    }
}

}  // namespace bitdotio
