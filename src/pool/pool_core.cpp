// Lends, dials and takes back, as pool_state decides.
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

constexpr std::chrono::milliseconds default_acquire_timeout{30'000};

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
    : strand_(asio::make_strand(executor)),
      connector_(executor, std::move(connect)),
      options_(bounded(std::move(options))),
      state_(state_settings(options_, connector_.options())),
      next_event_(strand_),
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

asio::awaitable<pooled_connection> pool_core::acquire(std::source_location where,
                                                      acquire_limits limits) {
    birth_.check_same_process("the pool");
    return on_strand(strand_, shared_from_this(), do_acquire(where, limits));
}

asio::awaitable<pooled_connection> pool_core::do_acquire(std::source_location where,
                                                         acquire_limits limits) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto now = std::chrono::steady_clock::now();
    const auto timeout = options_.acquire_timeout.value_or(default_acquire_timeout);
    const state::ticket ticket = next_ticket_++;
    const auto waiting = std::make_shared<waiter>(strand_, where, now);
    waiters_.emplace(ticket, waiting);
    state::wish wanted;
    wanted.until = limits.until;
    wanted.newer_than = limits.newer_than;
    wanted.goes_on = limits.goes_on;
    if (const auto why = state_.enqueue(ticket, now, later(now, timeout),
                                        !options_.acquire_timeout.has_value(), wanted)) {
        refuse(state::refused(ticket, *why), now);
    }
    obey();
    if (!waiting->done) {
        boost::system::error_code ended;
        co_await waiting->called.async_wait(asio::redirect_error(asio::use_awaitable, ended));
    }
    if (!waiting->done) {
        state_.forget(ticket);
        waiters_.erase(ticket);
        obey();
        throw error(errc::cancelled, "waiting for a connection was cancelled")
            .with(phase::acquiring)
            .with(outcome::not_sent);
    }
    if (waiting->refused) {
        throw *waiting->refused;
    }
    co_return std::move(waiting->lent);
}

// Does what the state decides. Every event ends here.
void pool_core::obey() {
    const auto now = std::chrono::steady_clock::now();
    auto orders = state_.decide(now, [](const resource& idle) {
        return idle->status() == session_status::idle && idle->looks_alive();
    });
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
    next_event_.set(orders.next, weak_from_this(), std::mem_fn(&pool_core::obey), on_failure());
    if (state_.is_over()) {
        give_up_dials();
    }
    if (is_drained()) {
        drained_.cancel();
    }
}

void pool_core::lend(state::ticket ticket, resource session, time_point now) {
    const auto lucky = waiters_.extract(ticket).mapped();
    leases_.lend(session.get(), lucky->where, now);
    lucky->lent = pooled_connection(shared_from_this(), std::move(session));
    lucky->done = true;
    lucky->called.cancel();
    ++counted_.acquired;
    tell([&](pool_observer& observer) { observer.acquired(now - lucky->came); });
}

void pool_core::refuse(const state::refused& one, time_point now) {
    const auto unlucky = waiters_.extract(one.who).mapped();
    pool_picture now_is = picture(now);
    now_is.waited = one.waited;
    now_is.place = one.place;
    now_is.by_caller = one.by_caller;
    now_is.stands_still = leases_.stands_still_since(unlucky->came);
    unlucky->refused = refusal_error(one.why, now_is);
    unlucky->done = true;
    unlucky->called.cancel();
    ++counted_.refused;
    tell([&](pool_observer& observer) {
        observer.acquire_failed(*unlucky->refused, now - unlucky->came);
    });
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
        watch(session);
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
    obey();
}

// Notices at once when a resting session ends, not only at the next borrower's look.
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

void pool_core::give_back(resource session) noexcept {
    if (!birth_.is_here()) {
        return;  // it was lent in the process that forked this one, and stays there
    }
    soon([self = shared_from_this(), session = std::move(session)]() mutable {
        self->take_back(std::move(session));
    });
}

void pool_core::take_back(resource session) {
    const auto now = std::chrono::steady_clock::now();
    switch (session->status()) {
        case session_status::idle: {
            const auto held = leases_.take_back(session.get(), now);
            // The watch is set before the session can be lent: the next operation ends it.
            session->reset_first(options_.reset);
            watch(session);
            state_.returned(session, now);
            tell([&](pool_observer& observer) { observer.released(held); });
            break;
        }
        case session_status::closed: {
            const auto held = leases_.take_back(session.get(), now);
            state_.lost(session);
            dispose(session, close_reason::broken);
            tell([&](pool_observer& observer) { observer.released(held); });
            break;
        }
        case session_status::in_transaction:
        case session_status::busy:
            ++counted_.rolled_back;
            ++returning_;
            spawn_alone(strand_, do_return(std::move(session)), on_failure());
            return;
    }
    obey();
}

asio::awaitable<void> pool_core::do_return(resource session) {
    const auto self = shared_from_this();
    try {
        co_await session->clean(options_.return_timeout);
    } catch (...) {
        failed(std::current_exception());
        session->cut("it could not be cleaned up for the next borrower");
    }
    --returning_;
    if (session->status() != session_status::idle) {
        session->close();
    }
    take_back(std::move(session));
}

}  // namespace bitdotio
