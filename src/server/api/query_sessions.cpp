// Lends, resets and drops sessions; the list of idle ones is on a strand.
#include "server/api/query_sessions.hpp"

#include <bitdotio/error.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/statement.hpp>

#include "base/deadline.hpp"
#include "base/spawn.hpp"
#include "postgres/postgres_session.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <functional>
#include <optional>
#include <random>
#include <vector>

namespace bitdotio {

namespace {

// A session that takes longer to reset, for its temporary tables, is closed instead: PostgreSQL
// then cleans up by itself.
constexpr std::chrono::milliseconds reset_patience{2'000};

// What DISCARD ALL does, which does not run together with others, in its order. Resetting the
// session's user leaves it without the role it began with, so that role is set again. The state of
// random() is no setting: it gets a new seed, that nobody has chosen.
constexpr const char* reset =
    "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; DEALLOCATE ALL; "
    "UNLISTEN *; DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES; "
    "SELECT pg_catalog.pg_advisory_unlock_all(), "
    "pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()), pg_catalog.setseed(";

std::string reset_script() {
    // Asking the machine for chance each time would cost a tenth of a short query.
    thread_local std::mt19937_64 chance{std::random_device{}()};
    const double seed = std::uniform_real_distribution<double>(-1, 1)(chance);
    std::array<char, 40> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), seed).ptr;
    return reset + std::string(digits.data(), end) + ")";
}

}  // namespace

query_sessions::query_sessions(asio::any_io_executor executor, query_session_limits limits,
                               std::shared_ptr<const event_log> events)
    : executor_(executor),
      strand_(executor),
      limits_(limits),
      events_(std::move(events)),
      next_end_(strand_) {}

failure_report query_sessions::on_failure() const noexcept {
    return failure_report(events_, "the sessions of queries");
}

asio::awaitable<query_session> query_sessions::take(query_place place) {
    const auto self = shared_from_this();
    std::optional<query_session> found;
    strand_.run_now([&] {
        found = pick(place);
        if (has_to_wait(*found)) found.reset();
    });
    if (found) co_return std::move(*found);
    co_return co_await on_strand(strand_, self, do_take(std::move(place)));
}

asio::awaitable<query_session> query_sessions::do_take(query_place place) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    query_session found = pick(place);
    if (!has_to_wait(found)) co_return found;
    const auto mine = std::make_shared<waiter>(strand_, std::move(found));
    waiting_.push_back(mine);
    const time_point begin = std::chrono::steady_clock::now();
    asio::cancellation_state state;
    while (!mine->has_one && state.cancelled() == asio::cancellation_type::none) {
        const time_point last = std::max(begin, mine->one.siblings->returned);
        const time_point until = std::min(begin + limits_.longest_wait, last + limits_.patience);
        if (until <= std::chrono::steady_clock::now()) break;
        boost::system::error_code ended;
        mine->told.expires_at(until);
        co_await mine->told.async_wait(asio::redirect_error(asio::use_awaitable, ended));
        state = co_await asio::this_coro::cancellation_state;
    }
    std::erase(waiting_, mine);
    co_return std::move(mine->one);
}

bool query_sessions::has_to_wait(const query_session& none) const noexcept {
    return !none && !closed_ && none.siblings.use_count() > static_cast<long>(limits_.of_database);
}

// The one that came back last, whose memory is warm; the others reach the end of their time.
query_session query_sessions::pick(const query_place& place) {
    query_session found;
    found.place = place;
    const time_point now = std::chrono::steady_clock::now();
    for (auto at = idle_.end(); at != idle_.begin();) {
        --at;
        if (!(at->place == place)) continue;
        const bool young = now - at->opened < limits_.life && now - at->returned < limits_.idle;
        const bool good = young && at->session.session()->looks_alive();
        query_session each = std::move(*at);
        at = idle_.erase(at);
        if (good) {
            found = std::move(each);
            break;
        }
    }
    if (!found && limits_.of_database > 0) {
        std::erase_if(siblings_, [](const auto& each) { return each.second.expired(); });
        std::weak_ptr<query_siblings>& known = siblings_[place];
        found.siblings = known.lock();
        if (!found.siblings) known = found.siblings = std::make_shared<query_siblings>();
    }
    return found;
}

asio::awaitable<query_session> query_sessions::open(query_session none, session_target where) {
    query_session made = std::move(none);
    made.opened = std::chrono::steady_clock::now();
    where.connect.statement_cache_size = 0;  // the reset takes prepared statements away
    // On a strand of its own: it outlives the connection of the client it is opened for.
    made.session = co_await on_strand(
        strand(executor_), shared_from_this(),
        open_session(std::move(where), "bitdotio query", made.place.database, make_room_));
    co_return made;
}

asio::awaitable<bool> query_sessions::give_back(query_session used) {
    const auto self = shared_from_this();
    const auto& session = used.session.session();
    bool clean = false;
    bool written = true;
    // A transaction that was left open is rolled back by the end of its session.
    if (used && session->status() == session_status::idle) {
        try {
            statement script(reset_script());
            script.timeout(reset_patience);
            const std::vector<result> answers = co_await used.session.script(std::move(script));
            std::string last(answers.back()[0][1].data());
            written = last.empty() || last != used.last_transaction;
            used.last_transaction = std::move(last);
            clean = true;
        } catch (...) {  // also if its caller is cancelled: what cannot be cleaned is not kept
        }
    }
    const time_point now = std::chrono::steady_clock::now();
    if (!clean || session->status() != session_status::idle || now - used.opened >= limits_.life) {
        if (session) session->close();
        used.session = connection();
    }
    used.returned = now;
    auto back = [self, used = std::move(used)]() mutable { self->come_back(std::move(used)); };
    dispatch_work(strand_, guarded(std::move(back), on_failure()));
    co_return written;
}

// Or has ended: then whoever waits opens the next.
void query_sessions::come_back(query_session used) {
    if (used.siblings) used.siblings->returned = used.returned;
    const auto next = std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& each) {
        return !each->has_one && each->one.place == used.place;
    });
    if (next == waiting_.end()) {
        if (used) keep(std::move(used));
        return;
    }
    waiter& served = **next;
    served.has_one = true;
    if (used) {
        used.siblings = served.one.siblings;
        served.one = std::move(used);
    }
    served.told.cancel();
}

void query_sessions::keep(query_session used) {
    if (closed_) return;
    const auto is_here = [&](const query_session& each) {
        return each.place.database == used.place.database;
    };
    if (std::count_if(idle_.begin(), idle_.end(), is_here) >=
        static_cast<std::ptrdiff_t>(limits_.of_database)) {
        const auto oldest = std::find_if(idle_.begin(), idle_.end(), is_here);
        if (oldest == idle_.end()) return;  // none is kept
        idle_.erase(oldest);
    }
    idle_.push_back(std::move(used));
    if (idle_.size() > limits_.in_all) idle_.pop_front();
    set_alarm();
}

void query_sessions::drop_idle() {
    const time_point now = std::chrono::steady_clock::now();
    std::erase_if(idle_, [&](const query_session& each) {
        return now - each.returned >= limits_.idle || now - each.opened >= limits_.life;
    });
    alarm_is_set_ = false;
    set_alarm();
}

// A time that has been set stays, though the session it was for is in use again: it costs more to
// set one for each query than to look in vain.
void query_sessions::set_alarm() {
    if (alarm_is_set_ || idle_.empty()) return;
    alarm_is_set_ = true;
    next_end_.set(idle_.front().returned + limits_.idle, weak_from_this(),
                  std::mem_fn(&query_sessions::drop_idle), on_failure());
}

void query_sessions::forget(std::string database) noexcept {
    auto drop = [self = shared_from_this(), database = std::move(database)] {
        std::erase_if(self->idle_,
                      [&](const query_session& each) { return each.place.database == database; });
    };
    dispatch_work(strand_, guarded(std::move(drop), on_failure()));
}

asio::awaitable<void> query_sessions::close() {
    return on_strand(strand_, shared_from_this(), do_close());
}

asio::awaitable<void> query_sessions::do_close() {
    closed_ = true;
    idle_.clear();
    next_end_.set(std::nullopt, weak_from_this(), std::mem_fn(&query_sessions::drop_idle),
                  on_failure());
    co_return;
}

}  // namespace bitdotio
