// Fills places after sessions have begun, and empties them when PostgreSQL or time says so.
#include "server/gateway/session_reserve.hpp"

#include "base/spawn.hpp"
#include "server/gateway/abandoned_session.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <exception>
#include <utility>

namespace bitdotio {

namespace {

// The time for PostgreSQL to begin a session that nobody waits for, or that a client waits for who
// could begin one itself.
constexpr std::chrono::seconds begin_patience{5};
// The time for a session in reserve to say that it is still what it was.
constexpr std::chrono::seconds check_patience{1};
// How often settings may change while sessions begin before that is given up.
constexpr int most_rounds = 3;
constexpr std::chrono::seconds look_interval{1};
// How long a database that had no room for a client gets no session in reserve.
constexpr std::chrono::seconds crowded_for{10};
// How long a session that has ended is remembered, at least: longer than it takes a client to hear
// that there was no place, and to ask for one.
constexpr std::chrono::seconds departed_for{5};

std::string packet_of(const session_target& where, const startup_message& wish) {
    return wire_message::startup(wish, where.connect.user, where.connect.database, where.options);
}

asio::awaitable<void> end_spare(std::unique_ptr<spare_session> spare) {
    co_await end_abandoned(*spare->link, *spare->greeting.key);
}

asio::awaitable<void> wait_for(asio::steady_timer& event) {
    boost::system::error_code ended;
    co_await event.async_wait(asio::redirect_error(asio::use_awaitable, ended));
}

}  // namespace

session_reserve::kept::kept(const asio::any_io_executor& executor)
    : changed(executor, no_deadline) {}

session_reserve::session_reserve(asio::any_io_executor executor)
    : strand_(executor), left_(strand_, no_deadline), pause_(strand_) {}

asio::awaitable<std::unique_ptr<spare_session>> session_reserve::take(std::string id,
                                                                      session_target where,
                                                                      startup_message wish) {
    if (limits_.of_role == 0) co_return nullptr;
    place of(std::move(id), where.connect.user);
    std::string packet = packet_of(where, wish);
    co_return co_await on_strand(strand_, shared_from_this(),
                                 do_take(std::move(of), std::move(packet)));
}

asio::awaitable<std::unique_ptr<spare_session>> session_reserve::do_take(place of,
                                                                         std::string startup) {
    const auto found = kept_.find(of);
    if (found == kept_.end() || found->second->startup != startup) co_return nullptr;
    const std::shared_ptr<kept> mine = found->second;
    if (mine->spares.empty() && mine->soon) {
        mine->soon = false;  // it is for one client; the next one begins its own
        co_await wait_for(mine->changed);
    }
    while (!mine->spares.empty()) {
        std::unique_ptr<spare_session> spare = std::move(mine->spares.back());
        mine->spares.pop_back();
        --in_all_;
        std::string now;
        if (spare->link->is_silent()) {
            try {
                now = co_await with_deadline(circumstances_of(*spare->link),
                                             from_now(check_patience));
            } catch (const std::exception&) {  // whatever it is, it is no fresh session
            }
        }
        const bool fits = now == spare->circumstances && mine->startup == startup;
        if (!now.empty()) mine->circumstances = std::move(now);
        if (fits) co_return spare;
        let_go(of.first, std::move(spare));
    }
    co_return nullptr;
}

void session_reserve::began(std::string id, session_target where, startup_message wish) {
    if (limits_.of_role == 0) return;
    auto noted = [self = shared_from_this(), id = std::move(id), where = std::move(where),
                  wish = std::move(wish)]() mutable {
        self->note(std::move(id), std::move(where), std::move(wish));
    };
    // A reserve that there is no memory for is missed by nobody.
    const auto forget = [](const std::exception_ptr&) noexcept {};
    post_work(strand_, guarded(std::move(noted), forget));
}

void session_reserve::note(std::string id, session_target where, startup_message wish) {
    if (closed_) return;
    const time_point now = std::chrono::steady_clock::now();
    std::string packet = packet_of(where, wish);
    std::shared_ptr<kept>& mine = kept_[place(id, where.connect.user)];
    if (!mine) mine = std::make_shared<kept>(strand_);
    mine->used = now;
    if (!looking_) {
        looking_ = true;
        const auto ended = [](const std::exception_ptr&) noexcept {};
        spawn_alone(strand_, look_after(), ended);
    }
    if (mine->startup != packet) {
        let_all_go(id, *mine);
        mine->circumstances.clear();
        mine->startup = std::move(packet);
        return;
    }
    if (mine->filling || !has_room(id, *mine)) return;
    mine->filling = true;
    mine->soon = !mine->circumstances.empty();
    const auto ended = [mine](const std::exception_ptr&) noexcept {
        mine->filling = false;
        mine->soon = false;
        mine->changed.cancel();
    };
    mine->stop = std::make_shared<asio::cancellation_signal>();
    spawn_alone(strand_, fill(std::move(id), mine, std::move(where), std::move(wish)), ended,
                mine->stop);
}

// Those of other roles that begin now are counted as if they were there.
bool session_reserve::has_room(const std::string& id, const kept& mine) const {
    if (closed_ || mine.spares.size() >= limits_.of_role || in_all_ >= limits_.in_all) return false;
    if (crowded_.contains(id)) return false;
    std::size_t here = mine.spares.size();
    for (auto at = kept_.lower_bound(place(id, "")); at != kept_.end() && at->first.first == id;
         ++at) {
        const kept& each = *at->second;
        if (&each != &mine) here += each.spares.size() + (each.filling ? 1 : 0);
    }
    return here < limits_.of_database;
}

void session_reserve::let_go(const std::string& id, std::unique_ptr<spare_session> spare) {
    departure one;
    one.database = id;
    one.stop = std::make_shared<asio::cancellation_signal>();
    const auto at = departures_.insert(departures_.end(), std::move(one));
    const auto ended = [self = shared_from_this(), at](const std::exception_ptr&) noexcept {
        at->ended = std::chrono::steady_clock::now();
        self->left_.cancel();
    };
    spawn_alone(strand_, end_spare(std::move(spare)), ended, at->stop);
}

void session_reserve::let_all_go(const std::string& id, kept& mine) {
    in_all_ -= mine.spares.size();
    for (std::unique_ptr<spare_session>& spare : std::exchange(mine.spares, {}))
        let_go(id, std::move(spare));
}

bool session_reserve::is_leaving(const std::string& id) const noexcept {
    return std::any_of(departures_.begin(), departures_.end(), [&](const departure& each) {
        return each.database == id && each.ended == no_deadline;
    });
}

bool session_reserve::has_departure(const std::string& id) const noexcept {
    return std::any_of(departures_.begin(), departures_.end(),
                       [&](const departure& each) { return each.database == id; });
}

// A session is of use if its circumstances are those that were known before it began: then they are
// those in which it began.
asio::awaitable<void> session_reserve::fill(std::string id, std::shared_ptr<kept> mine,
                                            session_target where, startup_message wish) {
    const auto self = shared_from_this();
    const std::string packet = mine->startup;
    for (int round = 0; round < most_rounds && has_room(id, *mine) && mine->startup == packet;) {
        const std::string before = mine->circumstances;
        std::unique_ptr<spare_session> made =
            co_await begin_spare(strand_, where, wish, from_now(begin_patience));
        const bool wanted = mine->startup == packet;
        const bool fits = made->circumstances == before;
        if (wanted) mine->circumstances = made->circumstances;
        if (wanted && fits && has_room(id, *mine)) {
            mine->spares.push_back(std::move(made));
            ++in_all_;
            continue;
        }
        let_go(id, std::move(made));
        if (!wanted) co_return;
        ++round;
        mine->soon = !fits;
    }
}

asio::awaitable<bool> session_reserve::make_room(std::string id) {
    if (limits_.of_role == 0) co_return false;
    co_return co_await on_strand(strand_, shared_from_this(), do_make_room(std::move(id)));
}

asio::awaitable<bool> session_reserve::do_make_room(std::string id) {
    crowded_[id] = from_now(crowded_for);
    std::vector<std::shared_ptr<kept>> all;
    for (const auto& [of, mine] : kept_) {
        if (of.first == id) all.push_back(mine);
    }
    bool any = has_departure(id);
    for (const std::shared_ptr<kept>& mine : all) {
        any = any || mine->filling || !mine->spares.empty();
        // What begins now is waited for: to hang up would leave PostgreSQL with it for a while.
        while (mine->filling) {
            co_await wait_for(mine->changed);
        }
        let_all_go(id, *mine);
    }
    while (is_leaving(id)) {
        co_await wait_for(left_);
    }
    co_return any;
}

asio::awaitable<void> session_reserve::look_after() {
    const auto self = shared_from_this();
    while (!closed_ && !(kept_.empty() && crowded_.empty() && departures_.empty())) {
        pause_.expires_after(look_interval);
        co_await wait_for(pause_);
        look(std::chrono::steady_clock::now());
    }
    looking_ = false;
}

void session_reserve::look(time_point now) {
    std::erase_if(crowded_, [now](const auto& each) { return each.second <= now; });
    std::erase_if(departures_,
                  [now](const departure& each) { return later(each.ended, departed_for) <= now; });
    const auto is_good = [&](const std::unique_ptr<spare_session>& spare) {
        return spare->link->is_silent() && later(spare->since, limits_.life) > now;
    };
    for (const auto& [of, mine] : kept_) {
        std::vector<std::unique_ptr<spare_session>>& spares = mine->spares;
        const auto over = std::partition(spares.begin(), spares.end(), is_good);
        in_all_ -= static_cast<std::size_t>(spares.end() - over);
        for (auto at = over; at != spares.end(); ++at)
            let_go(of.first, std::move(*at));
        spares.erase(over, spares.end());
    }
    std::erase_if(kept_, [&](const auto& each) {
        const kept& mine = *each.second;
        return mine.spares.empty() && !mine.filling && later(mine.used, limits_.life) <= now;
    });
}

asio::awaitable<void> session_reserve::close() {
    return on_strand(strand_, shared_from_this(), do_close());
}

asio::awaitable<void> session_reserve::do_close() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    closed_ = true;
    pause_.cancel();
    const auto all = std::exchange(kept_, {});
    for (const auto& [of, mine] : all) {
        if (mine->filling) mine->stop->emit(asio::cancellation_type::terminal);
        while (mine->filling) {
            co_await wait_for(mine->changed);
        }
        mine->spares.clear();
    }
    in_all_ = 0;
    const auto goes_on = [](const departure& each) { return each.ended == no_deadline; };
    for (const departure& each : departures_)
        each.stop->emit(asio::cancellation_type::terminal);
    while (std::any_of(departures_.begin(), departures_.end(), goes_on)) {
        co_await wait_for(left_);
    }
}

}  // namespace bitdotio
