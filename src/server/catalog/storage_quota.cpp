// Measures databases, and ends sessions whose role is no longer right.
#include <bitdotio/error.hpp>

#include "server/base/event_log.hpp"
#include "server/catalog/storage_quota.hpp"
#include "server/hosts/session_role.hpp"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace bitdotio {

namespace {

// How often a database is measured while a statement frees space in it, and in how many of these
// turns every database over its limit is.
constexpr std::chrono::milliseconds close_interval{250};
constexpr unsigned turns_of_all = 4;

// The roles that are no longer right: those that could write, those that could not, or all.
std::vector<std::string> misplaced(storage_state now) {
    const std::string limited = session_roles::limited;
    if (now == storage_state::writable) return {limited};
    std::vector<std::string> roles{session_roles::owner, session_roles::admin,
                                   session_roles::writer};
    if (now == storage_state::closed) {
        roles.push_back(limited);
        roles.push_back(session_roles::reader);
    }
    return roles;
}

}  // namespace

storage_quota::storage_quota(asio::any_io_executor executor, std::shared_ptr<catalog> known,
                             std::shared_ptr<database_host> databases,
                             std::chrono::milliseconds interval)
    : strand_(std::move(executor)),
      catalog_(std::move(known)),
      databases_(std::move(databases)),
      interval_(interval),
      rounds_(strand_, interval),
      close_looks_(strand_, close_interval) {}

void storage_quota::watch() {
    rounds_.start(
        shared_from_this(), [this] { return measure_all(); }, on_failure());
    close_looks_.start(
        shared_from_this(), [this] { return look_closely(); }, on_failure());
}

asio::awaitable<void> storage_quota::close() {
    return on_strand(strand_, shared_from_this(), do_close());
}

asio::awaitable<void> storage_quota::do_close() {
    co_await rounds_.stop();
    co_await close_looks_.stop();
}

asio::awaitable<void> storage_quota::measure_all() {
    const time_point begin = std::chrono::steady_clock::now();
    try {
        const std::vector<std::string> ids = co_await catalog_->ids();  // sorted
        std::erase_if(entries_, [&](const auto& one) {
            return one.second.measured < begin &&
                   !std::binary_search(ids.begin(), ids.end(), one.first);
        });
        for (const std::string& id : ids) {
            if (rounds_.is_stopping()) break;
            co_await measure_one(id);
        }
    } catch (const error&) {
        // The server is stopping.
    } catch (...) {
        on_failure()(std::current_exception());
    }
}

// In its turn: a database that is awake, or was when it was measured last.
asio::awaitable<void> storage_quota::measure_one(std::string id) {
    try {
        const bool asleep = co_await databases_->is_asleep(id);
        const auto found = entries_.find(id);
        if (asleep && found != entries_.end() && found->second.is_settled) co_return;
        co_await do_check(id);
    } catch (const error& failure) {
        // Deleted in between, or a backend that does not answer: the next round sees it.
        if (failure.code() == errc::conflict) throw;
    }
}

asio::awaitable<std::int64_t> storage_quota::used(std::string id) {
    std::vector<std::string> ids{std::move(id)};
    const std::vector<std::int64_t> used = co_await used_by(std::move(ids));
    co_return used.front();
}

asio::awaitable<std::vector<std::int64_t>> storage_quota::used_by(std::vector<std::string> ids) {
    const auto self = shared_from_this();
    std::vector<std::int64_t> used;
    strand_.run_now([&] { used = known_sizes(ids); });
    if (used.size() == ids.size()) co_return used;
    co_return co_await on_strand(strand_, self, do_used_by(std::move(ids)));
}

// Up to the first that has not been measured.
std::vector<std::int64_t> storage_quota::known_sizes(const std::vector<std::string>& ids) const {
    std::vector<std::int64_t> used;
    used.reserve(ids.size());
    for (const std::string& id : ids) {
        const entry* const known = measured(id);
        if (!known) break;
        used.push_back(known->used);
    }
    return used;
}

// Null if it has not been.
const storage_quota::entry* storage_quota::measured(const std::string& id) const {
    const auto found = entries_.find(id);
    return found == entries_.end() || !found->second.is_known ? nullptr : &found->second;
}

asio::awaitable<std::vector<std::int64_t>> storage_quota::do_used_by(std::vector<std::string> ids) {
    const auto self = shared_from_this();
    std::vector<std::int64_t> used;
    used.reserve(ids.size());
    for (const std::string& id : ids) {
        if (const entry* const known = measured(id)) {
            used.push_back(known->used);
            continue;
        }
        bool gone = false;
        try {
            co_await do_check(id);
        } catch (const error& failure) {
            if (failure.code() != errc::not_found) throw;  // deleted between two steps of a call
            gone = true;
        }
        const auto now = entries_.find(id);
        used.push_back(gone || now == entries_.end() ? 0 : now->second.used);
    }
    co_return used;
}

asio::awaitable<void> storage_quota::look_closely() {
    const bool in_turn = ++looks_ % turns_of_all == 0;
    std::vector<std::string> ids;
    for (const auto& [id, known] : entries_) {
        const bool over = known.rule.state() != storage_state::writable;
        if (known.before || (over && in_turn)) ids.push_back(id);
    }
    for (const std::string& id : ids) {
        if (close_looks_.is_stopping()) break;
        bool gone = false;
        try {
            co_await look_closely_at(id, in_turn);
        } catch (const error& failure) {
            // Deleted in between, or the server is stopping, or its backend does not answer.
            gone = failure.code() == errc::not_found;
        } catch (...) {
            on_failure()(std::current_exception());
        }
        if (gone) entries_.erase(id);
    }
}

asio::awaitable<void> storage_quota::look_closely_at(std::string id, bool in_turn) {
    if (!entries_[id].is_freeing()) {
        const bool judge = entries_[id].before.has_value();
        const bool asleep = co_await databases_->is_asleep(id);
        if (judge || (in_turn && !asleep)) co_await do_check(id);
        co_return;
    }
    const async_semaphore::pass looking = co_await looks_at_freeing_.enter();
    const std::int64_t used = co_await databases_->storage_bytes(id);
    entry& known = entries_[id];
    if (!known.is_freeing() || known.accepted || used <= known.ceiling) co_return;
    known.caught = true;
    known.ended = std::chrono::steady_clock::now();
    // No session but the statement's is in these roles now, and perhaps one that runs a DROP.
    co_await end_sessions(std::move(id), storage_state::read_only);
}

asio::awaitable<std::shared_ptr<void>> storage_quota::let_free(std::string id, freeing what) {
    return on_strand(strand_, shared_from_this(), do_let_free(std::move(id), what));
}

asio::awaitable<std::shared_ptr<void>> storage_quota::do_let_free(std::string id, freeing what) {
    const auto self = shared_from_this();
    const storage_state now = co_await do_check(id);
    entry& known = entries_[id];
    known.is_settled = false;
    auto right = std::make_shared<char>();
    // A DROP may wait for others' locks as long as it likes: it writes nothing.
    if (what == freeing::drops || now == storage_state::writable) co_return right;
    if (known.is_freeing()) {
        throw error(errc::server_busy,
                    "another statement frees space in this database: send the next one when that "
                    "has ended");
    }
    if (known.rule.takes_drops_only()) co_return nullptr;
    known.right = right;
    known.before = known.used;
    known.caught = known.accepted = false;
    known.ceiling = known.rule.ceiling(what, known.used);
    co_return right;
}

asio::awaitable<bool> storage_quota::may_commit(std::string id, std::shared_ptr<void> right) {
    return on_strand(strand_, shared_from_this(), do_may_commit(std::move(id), std::move(right)));
}

asio::awaitable<bool> storage_quota::do_may_commit(std::string id, std::shared_ptr<void> right) {
    const auto self = shared_from_this();
    const std::int64_t used = co_await databases_->storage_bytes(id);
    const auto found = entries_.find(id);
    if (found == entries_.end()) co_return false;
    entry& known = found->second;
    if (!known.before || known.right.lock() != right) co_return true;  // nothing bounds it
    known.caught = known.caught || used > known.ceiling;
    known.accepted = !known.caught;
    co_return known.accepted;
}

asio::awaitable<bool> storage_quota::settle(std::string id, std::shared_ptr<void> right) {
    return on_strand(strand_, shared_from_this(), do_settle(std::move(id), std::move(right)));
}

asio::awaitable<bool> storage_quota::do_settle(std::string id, std::shared_ptr<void> right) {
    const auto self = shared_from_this();
    // A look that still ends the statement's session would end those that come after it.
    const async_semaphore::pass looking = co_await looks_at_freeing_.enter();
    const auto is_caught = [&] {
        const auto found = entries_.find(id);
        return found != entries_.end() && found->second.caught &&
               found->second.right.lock() == right;
    };
    if (!is_caught()) co_return false;
    const std::int64_t used = co_await databases_->storage_bytes(id);
    if (!is_caught()) co_return false;
    entries_[id].ceiling = used + storage_rule::slack;
    co_return true;
}

failure_report storage_quota::on_failure() const noexcept {
    return failure_report(events_, "the storage limits");
}

asio::awaitable<std::string> storage_quota::session_role(database known) {
    return on_strand(strand_, shared_from_this(), do_session_role(std::move(known)));
}

asio::awaitable<std::string> storage_quota::do_session_role(database known) {
    const storage_state now = co_await do_state(known.id);
    if (now == storage_state::closed) {
        server_message message;
        message.severity = "FATAL";
        message.sqlstate = "53100";
        message.message = "the database \"" + known.name.full() +
                          "\" is over its storage limit, and grew even when it was read-only";
        throw error(errc::server_busy, message.message).with(message);
    }
    const bool limited = now == storage_state::read_only && known.role != role::reader;
    co_return limited ? session_roles::limited : bitdotio::session_role(known.role);
}

asio::awaitable<storage_state> storage_quota::state(std::string id) {
    const auto self = shared_from_this();
    std::optional<storage_state> known;
    strand_.run_now([&] { known = fresh_state(id); });
    if (known) co_return *known;
    co_return co_await on_strand(strand_, self, do_state(std::move(id)));
}

// Nothing if it was measured too long ago.
std::optional<storage_state> storage_quota::fresh_state(const std::string& id) {
    const auto found = entries_.find(id);
    if (found == entries_.end() ||
        std::chrono::steady_clock::now() - found->second.measured >= interval_) {
        return std::nullopt;
    }
    found->second.is_settled = false;  // whoever asks is about to use it
    return found->second.rule.state();
}

asio::awaitable<storage_state> storage_quota::do_state(std::string id) {
    const auto self = shared_from_this();
    if (const auto known = fresh_state(id)) co_return *known;
    const storage_state now = co_await do_check(id);
    entries_[id].is_settled = false;
    co_return now;
}

asio::awaitable<storage_state> storage_quota::check(std::string id) {
    return on_strand(strand_, shared_from_this(), do_check(std::move(id)));
}

asio::awaitable<storage_state> storage_quota::do_check(std::string id) {
    const auto self = shared_from_this();
    const bool asleep = co_await databases_->is_asleep(id);
    const std::int64_t used = co_await databases_->storage_bytes(id);
    const std::int64_t limit = co_await catalog_->storage_limit(id);
    entry& known = entries_[id];
    known.is_settled = asleep;
    // What it holds now may be passing: VACUUM FULL copies.
    if (known.is_freeing() && used > limit) {
        known.is_settled = false;
        co_return known.rule.state();
    }
    known.used = used;
    known.is_known = true;
    known.measured = std::chrono::steady_clock::now();
    const storage_state before = known.rule.state();
    const std::optional<std::int64_t> judged = std::exchange(known.before, std::nullopt);
    const storage_state after =
        judged ? known.rule.freed(*judged, used, limit) : known.rule.measured(used, limit);
    if (before != after) {
        if (events_) {
            server_event event(after == storage_state::writable ? "storage_freed"
                                                                : "storage_limit_reached");
            event.with("database_id", id)
                .with("closed", std::int64_t{after == storage_state::closed})
                .with("used_bytes", used)
                .with("limit_bytes", limit);
            events_->tell(event);
        }
        if (after != storage_state::writable) known.ended = known.measured;
        // From here on no session is let in that would have to be ended.
        co_await end_sessions(id, after);
    }
    co_return after;
}

asio::awaitable<bool> storage_quota::has_ended_writers(std::string id, time_point since) {
    return on_strand(strand_, shared_from_this(), do_has_ended_writers(std::move(id), since));
}

asio::awaitable<bool> storage_quota::do_has_ended_writers(std::string id, time_point since) {
    const auto found = entries_.find(id);
    co_return found != entries_.end() && found->second.ended >= since;
}

asio::awaitable<void> storage_quota::end_sessions(std::string id, storage_state now) {
    const bool asleep = co_await databases_->is_asleep(id);
    if (asleep) co_return;
    bool ended = false;
    try {
        co_await databases_->end_sessions(id, misplaced(now));
        ended = true;
    } catch (const error&) {
        // No connection was left for us, or the instance does not answer.
    }
    if (!ended) co_await databases_->sleep_now(id);
}

}  // namespace bitdotio
