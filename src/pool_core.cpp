// Lending, dialling, taking back: what pool_state decides, done.
#include "pool_core.hpp"

#include "postgres_session.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>

#include <utility>

namespace bitdotio {

namespace {

constexpr std::chrono::milliseconds default_acquire_timeout{30'000};

auto state_settings(const pool_options& options, const connect_options& connect) {
    options.check();
    pool_state<std::shared_ptr<postgres_session>>::settings settings;
    settings.min_size = options.min_size;
    settings.max_size = options.max_size;
    settings.max_waiters = options.max_waiters;
    settings.max_dials = options.max_dials;
    settings.idle_timeout = options.idle_timeout;
    settings.wake_timeout = connect.wake_timeout;
    return settings;
}

}  // namespace

pool_core::pool_core(asio::any_io_executor executor, connect_options connect, pool_options options)
    : strand_(asio::make_strand(executor)),
      connector_(executor, std::move(connect)),
      options_(std::move(options)),
      state_(state_settings(options_, connector_.options())),
      timer_(strand_),
      drained_(strand_, never) {}

void pool_core::start() {
    if (options_.min_size > 0) {
        asio::post(strand_, [self = shared_from_this()] { self->obey(); });
    }
}

asio::awaitable<pooled_connection> pool_core::acquire() {
    birth_.check_same_process("the pool");
    return on_strand(strand_, shared_from_this(), do_acquire());
}

asio::awaitable<pool_statistics> pool_core::statistics() {
    birth_.check_same_process("the pool");
    return on_strand(strand_, shared_from_this(), do_statistics());
}

asio::awaitable<void> pool_core::close() {
    birth_.check_same_process("the pool");
    return on_strand(strand_, shared_from_this(), do_close());
}

asio::awaitable<pooled_connection> pool_core::do_acquire() {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto now = std::chrono::steady_clock::now();
    const auto timeout = options_.acquire_timeout.value_or(default_acquire_timeout);
    const state::ticket ticket = next_ticket_++;
    const auto waiting = std::make_shared<waiter>(strand_);
    if (const auto why =
            state_.enqueue(ticket, now, now + timeout, !options_.acquire_timeout.has_value())) {
        throw refusal_error(*why);
    }
    waiters_.emplace(ticket, waiting);
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
    auto orders = state_.decide(std::chrono::steady_clock::now(), [this](const resource& idle) {
        const bool alive = idle->status() == session_status::idle && idle->looks_alive();
        counted_.replaced += !alive;
        return alive;
    });
    for (auto& [ticket, session] : orders.lend) {
        const auto lucky = waiters_.extract(ticket).mapped();
        lucky->lent = pooled_connection(shared_from_this(), std::move(session));
        lucky->done = true;
        lucky->called.cancel();
        ++counted_.acquired;
    }
    for (const auto& [ticket, why] : orders.refuse) {
        const auto unlucky = waiters_.extract(ticket).mapped();
        unlucky->refused = refusal_error(why);
        unlucky->done = true;
        unlucky->called.cancel();
    }
    for (const resource& session : orders.close) {
        session->close();
    }
    counted_.closed_idle += orders.aged;
    for (std::size_t i = 0; i < orders.dials; ++i) {
        const auto signal = dials_.emplace(dials_.end());
        ++counted_.dials;
        asio::co_spawn(strand_, dial(signal),
                       asio::bind_cancellation_slot(signal->slot(), asio::detached));
    }
    set_timer(orders.next);
    if (state_.is_closed() && state_.size() == 0 && returning_ == 0) {
        drained_.cancel();
    }
}

asio::awaitable<void> pool_core::dial(std::list<asio::cancellation_signal>::iterator signal) {
    const auto self = shared_from_this();
    co_await asio::this_coro::throw_if_cancelled(false);
    std::optional<error> failed;
    try {
        const resource session = co_await connector_.dial();
        ++counted_.opened;
        state_.dialled(session, std::chrono::steady_clock::now());
        if (state_.take_woke()) {
            ++counted_.wakes;
            wakes_.fetch_add(1, std::memory_order_relaxed);
        }
        last_dial_error_.reset();
        watch(session);
    } catch (const error& failure) {
        failed = failure;
    } catch (const std::exception& failure) {
        failed.emplace(errc::system_failed, std::string("cannot connect: ") + failure.what());
    }
    if (failed && state_.is_closed()) {
        state_.dial_abandoned();
    } else if (failed) {
        last_dial_error_ = failed;
        state_.dial_failed(judge_dial(*failed), std::chrono::steady_clock::now(),
                           random_fraction());
    }
    dials_.erase(signal);
    obey();
}

// What ends while it rests is noticed at once, not only by the next borrower's look.
void pool_core::watch(const resource& session) {
    std::function<void()> on_death = [weak = weak_from_this(), quiet = std::weak_ptr(session)] {
        const auto self = weak.lock();
        if (!self) {
            return;
        }
        asio::post(self->strand_, [self, quiet] {
            const resource dead = quiet.lock();
            if (dead && self->state_.died(dead)) {
                ++self->counted_.replaced;
                dead->close();
                self->obey();
            }
        });
    };
    session->watch(std::move(on_death));
}

void pool_core::give_back(resource session) noexcept {
    if (!birth_.is_here()) {
        return;  // it was lent in the process that forked this one, and is there
    }
    asio::post(strand_, [self = shared_from_this(), session = std::move(session)]() mutable {
        self->take_back(std::move(session));
    });
}

void pool_core::take_back(resource session) {
    switch (session->status()) {
        case session_status::idle:
            // The watch is set before it can be lent: the next operation ends it.
            session->reset_first(options_.reset);
            watch(session);
            state_.returned(std::move(session), std::chrono::steady_clock::now());
            break;
        case session_status::closed: state_.lost(); break;
        case session_status::in_transaction:
        case session_status::busy:
            ++counted_.rolled_back;
            ++returning_;
            asio::co_spawn(strand_, do_return(std::move(session)), asio::detached);
            return;
    }
    obey();
}

asio::awaitable<void> pool_core::do_return(resource session) {
    const auto self = shared_from_this();
    co_await session->clean(options_.return_timeout);
    --returning_;
    if (session->status() != session_status::idle) {
        session->close();
        state_.lost();
        obey();
    } else {
        take_back(std::move(session));
    }
}

void pool_core::set_timer(std::optional<time_point> next) {
    if (next == timer_at_) {
        return;
    }
    timer_at_ = next;
    timer_.cancel();
    if (!next) {
        return;
    }
    timer_.expires_at(*next);
    auto event = [weak = weak_from_this(), at = *next](const boost::system::error_code& failure) {
        const auto self = weak.lock();
        if (self && !failure && self->timer_at_ == at) {
            self->timer_at_.reset();
            self->obey();
        }
    };
    timer_.async_wait(std::move(event));
}

void pool_core::count_retry() noexcept {
    asio::post(strand_, [self = shared_from_this()] { ++self->counted_.retried; });
}

void pool_core::distrust_idle() noexcept {
    asio::post(strand_, [self = shared_from_this()] {
        self->state_.distrust_idle();
        self->obey();
    });
}

asio::awaitable<pool_statistics> pool_core::do_statistics() {
    pool_statistics now = counted_;
    now.idle = state_.idle();
    now.used = state_.used();
    now.dialling = state_.dialling();
    now.waiting = state_.waiting();
    now.waking = state_.is_waking();
    co_return now;
}

asio::awaitable<void> pool_core::do_close() {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    state_.close();
    obey();
    for (auto& signal : dials_) {
        signal.emit(asio::cancellation_type::terminal);
    }
    if (state_.size() != 0 || returning_ != 0) {
        boost::system::error_code ended;
        co_await drained_.async_wait(asio::redirect_error(asio::use_awaitable, ended));
    }
    if (state_.size() != 0 || returning_ != 0) {
        throw error(errc::cancelled,
                    "waiting for the pool to close was cancelled; it is closed "
                    "to new callers");
    }
}

std::string pool_core::counts() const {
    return std::to_string(state_.idle()) + " idle, " + std::to_string(state_.used()) + " in use, " +
           std::to_string(state_.dialling()) + " being opened, at most " +
           std::to_string(options_.max_size) + ", " + std::to_string(state_.waiting()) + " waiting";
}

error pool_core::refusal_error(refusal why) const {
    const std::string last =
        last_dial_error_ ? std::string("; the last try to connect: ") + last_dial_error_->what()
                         : std::string();
    const auto make = [&](errc code, const std::string& text) {
        error failure(code, text);
        if (last_dial_error_) {
            failure = failure.with(last_dial_error_->server());
        }
        return failure.with(phase::acquiring).with(outcome::not_sent);
    };
    switch (why) {
        case refusal::closed: return make(errc::pool_closed, "the pool is closed");
        case refusal::queue_full:
            return make(errc::queue_full,
                        "too many callers wait for a connection already: " + counts());
        case refusal::waking:
            return make(errc::database_asleep, "the database did not wake in time" + last);
        case refusal::busy:
            return make(errc::server_busy,
                        "the server had no connection left until the time "
                        "was up" +
                            last);
        case refusal::fatal:
            if (last_dial_error_) {
                return last_dial_error_->with(outcome::not_sent);
            }
            return make(errc::connect_failed, "cannot connect");
        case refusal::timed_out: break;
    }
    return make(errc::acquire_timeout, "no connection became free in time: " + counts() + last);
}

}  // namespace bitdotio
