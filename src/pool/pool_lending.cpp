// Lends connections and takes them back: the calls of a pool's users, on its strand.
#include "pool/pool_core.hpp"

#include "postgres/postgres_session.hpp"

#include <exception>
#include <utility>

namespace bitdotio {

namespace {

constexpr std::chrono::milliseconds default_acquire_timeout{30'000};
// Of so many leases that are to be had at once, one lets others of its caller's executor run.
constexpr std::uint64_t leases_in_a_row = 64;

}  // namespace

// A caller in the queue whose coroutine is on the strand, where a cancellation can reach it.
class pool_core::sleeper final : public waiter {
public:
    using waiter::waiter;

    void got(resource lent_) noexcept override {
        lent = std::move(lent_);
        wake();
    }
    void got_none(std::exception_ptr why) noexcept override {
        refused = std::move(why);
        wake();
    }

    resource lent;
    std::exception_ptr refused;  // smaller than an error, and there may be many of us
    bool done = false;

private:
    void wake() {
        done = true;
        called.wake();
    }
};

// A caller that nobody can cancel: it goes on where it was, and has never been on the strand.
class pool_core::lease_wait final : public waiter {
public:
    lease_wait(pool_core& pool, std::source_location where_, const acquire_limits& limits)
        : waiter(pool, where_), limits_(limits) {}
    ~lease_wait() {
        if (lent_) pool_.give_back(std::move(lent_));  // torn down with its executor
    }

    // Awaited, it comes to the strand and waits.
    auto answer() {
        return suspend([this](auto&& caller) { begin_waiting(suspended(std::move(caller))); });
    }
    pooled_connection take() {
        if (refused_) {
            std::rethrow_exception(refused_);
        }
        return pooled_connection(pool_.shared_from_this(), std::move(lent_));
    }

    void got(resource lent) noexcept override {
        lent_ = std::move(lent);
        pool_.go_on_soon(called.take());
    }
    void got_none(std::exception_ptr why) noexcept override {
        refused_ = std::move(why);
        pool_.go_on_soon(called.take());
    }

private:
    void begin_waiting(suspended caller) {
        called.put(std::move(caller));
        auto ask = [this]() noexcept { enter(); };
        if (!pool_.strand_.run_now(ask)) {
            dispatch_work(pool_.strand_, ask);
        }
    }

    void enter() noexcept {
        try {
            if (resource lent = pool_.lend_at_once(where, limits_)) {
                got(std::move(lent));
                return;
            }
        } catch (...) {
            got_none(std::current_exception());
            return;
        }
        pool_.queue_up(*this, limits_);
    }

    const acquire_limits& limits_;
    resource lent_;
    std::exception_ptr refused_;
};

asio::awaitable<pooled_connection> pool_core::acquire(std::source_location where,
                                                      acquire_limits limits) {
    birth_.check_same_process("the pool");
    const auto self = shared_from_this();
    const asio::cancellation_state state_of_caller = co_await asio::this_coro::cancellation_state;
    if (state_of_caller.cancelled() == asio::cancellation_type::none) {
        resource lent;
        strand_.run_now([&] {
            if (++asked_in_place_ % leases_in_a_row != 0) lent = lend_at_once(where, limits);
        });
        if (lent) {
            co_return pooled_connection(self, std::move(lent));
        }
    }
    if (!cannot_be_cancelled(state_of_caller)) {
        auto whole = do_acquire(where, limits);
        co_return co_await on_shared_strand(strand_, self, std::move(whole));
    }
    lease_wait mine(*this, where, limits);
    co_await mine.answer();
    co_return mine.take();
}

asio::awaitable<pooled_connection> pool_core::do_acquire(std::source_location where,
                                                         acquire_limits limits) {
    resource lent = lend_at_once(where, limits);
    if (!lent) {
        lent = co_await wait_for_one(where, limits);
    }
    co_return pooled_connection(shared_from_this(), std::move(lent));
}

// Not on the strand any more: what it does next is no concern of the strand's.
void pool_core::go_on_soon(suspended caller) const {
    const auto executor = caller.executor();
    if (strand_.shares_threads_with(executor)) {
        strand_.run_outside(std::move(caller));
    } else {
        resume_soon(executor, std::move(caller));
    }
}

asio::awaitable<result> pool_core::run(statement_try& one) {
    birth_.check_same_process("the pool");
    return on_shared_strand(strand_, shared_from_this(), do_run(one));
}

asio::awaitable<result> pool_core::do_run(statement_try& one) {
    inner_lease lent(*this);
    lent.session = lend_at_once(one.where, one.limits);
    if (!lent.session) {
        lent.session = co_await wait_for_one(one.where, one.limits);
        const asio::cancellation_state mine = co_await asio::this_coro::cancellation_state;
        if (mine.cancelled() != asio::cancellation_type::none) {
            throw error(errc::cancelled, "the operation was cancelled before it began")
                .with(outcome::not_sent);
        }
    }
    std::exception_ptr failure;
    result answer;
    try {
        if (one.limits.until == no_deadline) {
            answer = co_await lent.session->exchange_here().answer(one.sql, one.values);
        } else {
            statement limited(one.sql);
            limited.timeout(left_until(one.limits.until));
            answer = co_await lent.session->exchange_here().answer(limited, one.values);
        }
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        one.failed_on = pooled_connection(shared_from_this(), std::move(lent.session));
        std::rethrow_exception(failure);
    }
    tell([&](pool_observer& observer) {
        observer.queried(one.sql.sql(), std::chrono::steady_clock::now() - one.began, nullptr);
    });
    co_return answer;
}

bool pool_core::is_fit(const resource& idle) {
    return idle->status() == session_status::idle && idle->looks_alive();
}

// What most callers get: a connection that rests, while nobody waits. Null if there is more to it.
pool_core::resource pool_core::lend_at_once(std::source_location where,
                                            const acquire_limits& limits) {
    const auto now = std::chrono::steady_clock::now();
    state::wish wanted;
    wanted.newer_than = limits.newer_than;
    auto lent = state_.lend_at_once(now, wanted, is_fit);
    if (!lent) {
        return nullptr;
    }
    note_lease(*lent, where, now);
    tell([&](pool_observer& observer) { observer.acquired(now - now); });
    return std::move(*lent);
}

asio::awaitable<pool_core::resource> pool_core::wait_for_one(std::source_location where,
                                                             acquire_limits limits) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    sleeper mine(*this, where);
    enqueue(mine, limits);
    obey();
    if (!mine.done) {
        co_await mine.called.wait();
    }
    if (!mine.done) {
        mine.withdraw();
        obey();
        throw error(errc::cancelled, "waiting for a connection was cancelled")
            .with(phase::acquiring)
            .with(outcome::not_sent);
    }
    if (mine.refused) {
        std::rethrow_exception(mine.refused);
    }
    co_return std::move(mine.lent);
}

// Apart from the coroutine, whose frame a caller keeps while it waits.
void pool_core::enqueue(waiter& one, const acquire_limits& limits) {
    one.begin(next_ticket_++, std::chrono::steady_clock::now());
    const auto timeout = options_.acquire_timeout.value_or(default_acquire_timeout);
    state::wish wanted;
    wanted.until = limits.until;
    wanted.newer_than = limits.newer_than;
    wanted.goes_on = limits.goes_on;
    const time_point came = one.came();
    const time_point last = later(limits.since.value_or(came), timeout);
    if (const auto why = state_.enqueue(one.ticket(), came, last,
                                        !options_.acquire_timeout.has_value(), wanted)) {
        refuse(state::refused(one.ticket(), *why), came);
    }
}

// The waiter has an answer by then, and may be gone, or waits.
void pool_core::queue_up(waiter& one, const acquire_limits& limits) noexcept {
    const auto self = shared_from_this();
    try {
        enqueue(one, limits);
    } catch (...) {
        one.withdraw();
        one.got_none(std::current_exception());
        return;
    }
    try {
        obey();
    } catch (...) {
        failed(std::current_exception());
    }
}

void pool_core::note_lease(const resource& session, std::source_location where, time_point now) {
    leases_.lend(session.get(), where, now);
    ++counted_.acquired;
    if (options_.leak_after.count() != 0 && !next_event_.rings_by(now + options_.leak_after)) {
        set_alarm(now + options_.leak_after);
    }
}

void pool_core::lend(state::ticket ticket, resource session, time_point now) {
    waiter& lucky = waiters_.remove(ticket);
    lucky.end();
    note_lease(session, lucky.where, now);
    tell([&](pool_observer& observer) { observer.acquired(now - lucky.came()); });
    lucky.got(std::move(session));  // which may be gone now
}

void pool_core::refuse(const state::refused& one, time_point now) {
    waiter& unlucky = waiters_.remove(one.who);
    unlucky.end();
    pool_picture now_is = picture(now);
    now_is.waited = one.waited;
    now_is.place = one.place;
    now_is.by_caller = one.by_caller;
    now_is.stands_still = leases_.stands_still_since(unlucky.came());
    const error why = refusal_error(one.why, now_is);
    ++counted_.refused;
    tell([&](pool_observer& observer) { observer.acquire_failed(why, now - unlucky.came()); });
    unlucky.got_none(std::make_exception_ptr(why));  // which may be gone now
}

void pool_core::give_back(resource session) noexcept {
    if (!birth_.is_here()) {
        return;  // it was lent in the process that forked this one, and stays there
    }
    if (strand_.may_run_here()) {
        bool is_back = false;
        try {
            is_back = strand_.run_now([&] { take_back(std::move(session)); });
        } catch (...) {
            failed(std::current_exception());
            return;
        }
        if (is_back) {
            return;
        }
    }
    auto work = [self = shared_from_this(), session = std::move(session)]() mutable {
        self->take_back(std::move(session));
    };
    dispatch_work(strand_, guarded(std::move(work), on_failure()));
}

// On the strand, unless what it was lent for is torn down with its executor.
void pool_core::end_lease(resource session) noexcept {
    if (!strand_.running_in_this_thread()) {
        give_back(std::move(session));
        return;
    }
    try {
        take_back(std::move(session));
    } catch (...) {
        failed(std::current_exception());
    }
}

void pool_core::take_back(resource session) {
    const auto now = std::chrono::steady_clock::now();
    switch (session->status()) {
        case session_status::idle: {
            const auto held = leases_.take_back(session.get(), now);
            session->reset_first_here(options_.reset);
            tell([&](pool_observer& observer) { observer.released(held); });
            if (const auto next = state_.hand_on(session, now)) {
                lend(*next, std::move(session), now);
                return;
            }
            watch_soon();
            state_.returned(session, now);
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
    obey(now);
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
