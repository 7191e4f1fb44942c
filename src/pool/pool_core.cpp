// Does what pool_state decides: dials, probes, watches and closes.
#include "pool/pool_core.hpp"

#include "pool/multiplexer.hpp"
#include "postgres/conninfo.hpp"
#include "postgres/failure.hpp"
#include "postgres/postgres_session.hpp"

#include <algorithm>
#include <functional>
#include <utility>

namespace bitdotio {

namespace {

// How long a session rests before it is watched.
constexpr std::chrono::milliseconds rest{10};

bool leads_through_sockets(const connect_options& connect) {
    return std::all_of(connect.hosts.begin(), connect.hosts.end(),
                       [](const host_port& one) { return is_unix_socket(one.host); });
}

// "Never" is a time that the clock can count.
pool_options bounded(pool_options options) {
    for (std::chrono::milliseconds* time :
         {&options.idle_timeout, &options.return_timeout, &options.max_lifetime,
          &options.probe_after, &options.probe_timeout, &options.breaker_after,
          &options.leak_after}) {
        *time = capped(*time);
    }
    if (options.acquire_timeout) {
        options.acquire_timeout = capped(*options.acquire_timeout);
    }
    return options;
}

auto state_settings(const pool_options& options, const connect_options& connect) {
    options.check();
    pool_state<std::shared_ptr<postgres_session>>::settings settings;
    settings.min_size = options.min_size;
    settings.max_size = options.max_size;
    settings.max_waiters = options.max_waiters;
    settings.max_connecting = options.max_connecting;
    settings.idle_timeout = options.idle_timeout;
    settings.max_lifetime = options.max_lifetime;
    settings.lifetime_jitter = options.lifetime_jitter;
    settings.probe_after =
        leads_through_sockets(connect) ? std::chrono::milliseconds(0) : options.probe_after;
    settings.wake_timeout = capped(connect.wake_timeout);
    settings.breaker_after = options.breaker_after;
    return settings;
}

}  // namespace

pool_core::pool_core(asio::any_io_executor executor, connect_options connect, pool_options options)
    : strand_(executor),
      connector_(executor, std::move(connect), strand_),
      options_(bounded(std::move(options))),
      state_(state_settings(options_, connector_.options())),
      sleeping_(sleeping_coroutines::of(executor)),
      next_event_(strand_),
      next_watch_(strand_),
      drained_(strand_, no_deadline) {
    if (options_.multiplex) {
        multiplexer_ = std::make_shared<multiplexer>(*this, strand_, options_);
    }
}

void pool_core::start() {
    if (options_.min_size > 0) {
        soon([self = shared_from_this()] { self->obey(); });
        if (options_.lets_sleep) {
            tell([&](pool_observer& observer) {
                observer.warned("the database is meant to sleep, but pool_options::min_size is " +
                                std::to_string(options_.min_size) +
                                ": connections that are kept open keep it awake");
            });
        }
    }
}

// Does what the state decides. Every event ends here, unless it is known to leave nothing to do.
void pool_core::obey() {
    obey(std::chrono::steady_clock::now());
}

void pool_core::obey(time_point now) {
    if (state_.is_settled(now)) {
        if (const auto next = state_.next(now); next && !next_event_.rings_by(*next)) {
            set_alarm(next);
        }
        return;
    }
    auto orders = state_.decide(now, is_fit);
    for (auto& [ticket, session] : orders.lend) {
        lend(ticket, std::move(session), now);
    }
    for (const state::refused& one : orders.refuse) {
        refuse(one, now);
    }
    for (const auto& [session, why] : orders.close) {
        dispose(session, why);
    }
    for (const resource& session : orders.probe) {
        ++counted_.probes;
        spawn_alone(strand_, do_probe(session), on_failure());
    }
    for (std::size_t i = 0; i < orders.dials; ++i) {
        const auto signal = std::make_shared<asio::cancellation_signal>();
        dials_.insert(signal);
        ++counted_.connects;
        spawn_alone(strand_, dial(signal, state_.generation()), on_failure(), signal);
    }
    if (options_.leak_after.count() != 0) {
        report_leaks(now);
        const auto leak = leases_.next_leak(options_.leak_after);
        orders.next =
            leak && orders.next ? std::min(*leak, *orders.next) : (leak ? leak : orders.next);
    }
    set_alarm(orders.next);
    if (state_.is_over()) {
        give_up_dials();
        next_watch_.set(std::nullopt, weak_from_this(), std::mem_fn(&pool_core::watch_rested),
                        on_failure());
    }
    if (is_drained()) {
        drained_.cancel();
    }
}

void pool_core::set_alarm(std::optional<time_point> next) {
    next_event_.set(next, weak_from_this(), std::mem_fn(&pool_core::ring), on_failure());
}

// The time has come for something, or would have come if nothing had happened since.
void pool_core::ring() {
    if (options_.leak_after.count() != 0) {
        report_leaks(std::chrono::steady_clock::now());
        if (const auto leak = leases_.next_leak(options_.leak_after)) {
            set_alarm(leak);
        }
    }
    obey();
}

void pool_core::dispose(const resource& session, close_reason why) {
    session->close();
    switch (why) {
        case close_reason::dead: ++counted_.replaced; break;
        case close_reason::idle: ++counted_.closed_idle; break;
        case close_reason::aged: ++counted_.closed_aged; break;
        case close_reason::broken: ++counted_.closed_broken; break;
        case close_reason::evicted: ++counted_.evicted; break;
        case close_reason::pool_shrunk:
        case close_reason::pool_reset:
        case close_reason::pool_closed: break;
    }
    tell([&](pool_observer& observer) { observer.closed(why); });
}

asio::awaitable<void> pool_core::dial(dial_signal signal, std::uint64_t generation) {
    const auto self = shared_from_this();
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto began = std::chrono::steady_clock::now();
    tell([](pool_observer& observer) { observer.connecting(); });
    std::optional<error> failed;
    try {
        const resource session = co_await connector_.dial();
        const auto now = std::chrono::steady_clock::now();
        ++counted_.opened;
        tell([&](pool_observer& observer) { observer.connected(now - began); });
        const auto failing_since = state_.failing_since();
        watch_soon();
        state_.dialled(session, generation, now, random_fraction());
        if (state_.take_woke()) {
            ++counted_.wakes;
            wakes_.fetch_add(1, std::memory_order_relaxed);
            tell([&](pool_observer& observer) { observer.woke(now - *failing_since); });
        }
        last_dial_error_.reset();
    } catch (const error& failure) {
        failed = failure;
    } catch (const std::exception& failure) {
        failed.emplace(errc::system_failed, std::string("cannot connect: ") + failure.what());
    } catch (...) {  // of a user's function
        failed.emplace(errc::system_failed, "cannot connect: what was thrown is no std::exception");
    }
    if (failed && state_.is_over()) {
        state_.dial_abandoned();
    } else if (failed) {
        const auto now = std::chrono::steady_clock::now();
        last_dial_error_ = failed;
        state_.dial_failed(judge_dial(*failed), now, random_fraction());
        tell([&](pool_observer& observer) { observer.connect_failed(*failed, now - began); });
    }
    dials_.erase(signal);
    obey();
}

asio::awaitable<void> pool_core::do_probe(resource session) {
    const auto self = shared_from_this();
    bool answered = false;
    try {
        answered = co_await session->probe(options_.probe_timeout);
    } catch (...) {
        failed(std::current_exception());
    }
    if (!answered) {
        dispose(session, close_reason::dead);
    }
    state_.probed(session, answered, std::chrono::steady_clock::now());
    watch_soon();
    obey();
}

// A session that is lent again and again is not watched in between: the watch costs two system
// calls, and the look before lending finds the same.
void pool_core::watch_soon() {
    if (next_watch_.rings_by(time_point::max())) {
        return;
    }
    next_watch_.set(std::chrono::steady_clock::now() + rest, weak_from_this(),
                    std::mem_fn(&pool_core::watch_rested), on_failure());
}

void pool_core::watch_rested() {
    const auto now = std::chrono::steady_clock::now();
    bool others = false;
    state_.each_idle([&](const resource& session, time_point since) {
        if (session->is_watched()) {
            return;
        }
        if (since + rest / 2 <= now) {
            watch(session);
        } else {
            others = true;
        }
    });
    if (others) {
        watch_soon();
    }
}

// Notices when a resting session ends, not only at the next borrower's look.
void pool_core::watch(const resource& session) {
    std::function<void()> on_death = [weak = weak_from_this(), quiet = std::weak_ptr(session)] {
        const auto self = weak.lock();
        const resource dead = quiet.lock();
        if (self && dead) {
            const bool others_too = !ends_itself_only(dead->goodbye());
            self->soon([self, dead, others_too] { self->bury(dead, others_too); });
        }
    };
    session->watch(std::move(on_death));
}

void pool_core::bury(const resource& session, bool others_too) {
    if (!state_.died(session)) {
        return;
    }
    dispose(session, close_reason::dead);
    if (others_too) {
        state_.ended_by_server(std::chrono::steady_clock::now());
    }
    obey();
}

}  // namespace bitdotio
