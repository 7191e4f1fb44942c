// The pool as a whole: it closes, resets, resizes, counts and reports.
#include "pool/pool_core.hpp"

#include "pool/multiplexer.hpp"
#include "postgres/postgres_session.hpp"

#include <exception>
#include <set>
#include <string>
#include <utility>

namespace bitdotio {

asio::awaitable<pool_statistics> pool_core::statistics() {
    birth_.check_same_process("the pool");
    return on_strand(strand_, shared_from_this(), do_statistics());
}

asio::awaitable<pool_statistics> pool_core::do_statistics() {
    pool_statistics now = counted_;
    now.idle = state_.idle();
    now.used = state_.used();
    now.connecting = state_.dialling();
    now.probing = state_.probing();
    now.waiting = state_.waiting();
    now.waiting += multiplexer_ ? multiplexer_->waiting() : 0;
    now.max_size = state_.max_size();
    now.waking = state_.is_waking();
    now.cancels = connector_.cancels_sent();
    now.broken = state_.is_broken(std::chrono::steady_clock::now());
    co_return now;
}

asio::awaitable<void> pool_core::close(std::chrono::milliseconds drain) {
    birth_.check_same_process("the pool");
    return on_strand(strand_, shared_from_this(), do_close(drain));
}

asio::awaitable<void> pool_core::do_close(std::chrono::milliseconds drain) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    refuse_new();
    if (is_drained()) {
        co_return;
    }
    bool late = false;
    try {
        co_await with_deadline(wait_until_drained(), from_now(drain));
    } catch (const error& failure) {
        late = failure.code() == errc::timeout;
        if (!late) {
            throw;
        }
    }
    if (late && !is_drained()) {
        throw end_by_force(drain);
    }
}

void pool_core::begin_close() noexcept {
    if (birth_.is_here()) {
        soon([self = shared_from_this()] { self->refuse_new(); });
    }
}

void pool_core::refuse_new() {
    closed_.store(true, std::memory_order_release);
    if (multiplexer_) {
        multiplexer_->drain();
    }
    state_.drain();
    obey();
}

// Nobody is left to be served by them.
void pool_core::give_up_dials() {
    for (const dial_signal& signal : std::exchange(dials_, {})) {
        signal->emit(asio::cancellation_type::terminal);
    }
}

error pool_core::end_by_force(std::chrono::milliseconds drain) {
    const auto now = std::chrono::steady_clock::now();
    const std::string time = lease_book::in_words(drain);
    const std::size_t refused = state_.waiting();
    std::string words = "the pool is closed";
    if (refused > 0) {
        words += "; " + std::to_string(refused) + (refused == 1 ? " caller" : " callers") +
                 " had no connection after " + time + " and were refused";
    }
    if (state_.used() > 0) {
        words += "; not all of its connections had come back after " + time +
                 ", and they were cut; held by " + leases_.describe(now);
    }
    const std::string why = "the pool was closed, and cut what had not come back after " + time;
    state_.each_used([&](const resource& lent) { lent->cut(why); });
    state_.close();
    if (multiplexer_) {
        multiplexer_->refuse_waiting();
    }
    obey();
    return error(errc::timeout, words);
}

asio::awaitable<void> pool_core::wait_until_drained() {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    if (!is_drained()) {
        boost::system::error_code ended;
        co_await drained_.async_wait(asio::redirect_error(asio::use_awaitable, ended));
    }
    if (!is_drained()) {
        throw error(errc::cancelled,
                    "waiting for the pool to close was cancelled; it is closed to new callers");
    }
}

bool pool_core::is_drained() const {
    return state_.is_over() && state_.size() == 0 && returning_ == 0 &&
           (!multiplexer_ || multiplexer_->is_drained());
}

void pool_core::reset() noexcept {
    if (!birth_.is_here()) {
        return;
    }
    soon([self = shared_from_this()] {
        self->state_.reset();
        if (self->multiplexer_) {
            self->multiplexer_->retire();
        }
        self->obey();
    });
}

void pool_core::resize(std::size_t min_size, std::size_t max_size) {
    pool_options changed = options_;
    changed.min_size = min_size;
    changed.max_size = max_size;
    changed.check();
    birth_.check_same_process("the pool");
    soon([self = shared_from_this(), min_size, max_size] {
        self->state_.resize(min_size, max_size);
        self->obey();
    });
}

void pool_core::count_retry(const error& after) noexcept {
    soon([self = shared_from_this()] { ++self->counted_.retried; });
    tell([&](pool_observer& observer) { observer.retried(after); });
}

void pool_core::distrust_idle() noexcept {
    soon([self = shared_from_this()] {
        self->state_.distrust_idle();
        self->obey();
    });
}

void pool_core::failed(const std::exception_ptr& thrown) const noexcept {
    if (!thrown) {
        return;
    }
    tell([&](pool_observer& observer) {
        std::string words = "what was thrown is no std::exception";
        try {
            std::rethrow_exception(thrown);
        } catch (const std::exception& failure) {
            words = failure.what();
        } catch (...) {
        }
        observer.warned("the pool failed at something that nobody waits for: " + words);
    });
}

void pool_core::report_leaks(time_point now) {
    for (const lease_book::lease& one : leases_.take_leaks(now, options_.leak_after)) {
        ++counted_.leaked;
        tell([&](pool_observer& observer) { observer.leaked(one.where, now - one.since); });
    }
}

pool_picture pool_core::picture(time_point now) const {
    const auto in_ms = [](auto time) {
        return std::chrono::duration_cast<std::chrono::milliseconds>(time);
    };
    pool_picture is;
    is.idle = state_.idle();
    is.used = state_.used();
    is.dialling = state_.dialling();
    is.max_size = state_.max_size();
    is.waiting = state_.waiting();
    if (const auto since = state_.failing_since()) {
        is.failing_for = in_ms(now - *since);
    }
    if (const auto next = state_.next_dial(now)) {
        is.next_dial = in_ms(*next - now);
    }
    if (state_.used() >= state_.max_size()) {
        is.holders = leases_.describe(now);
    }
    is.last_dial = last_dial_error_;
    return is;
}

}  // namespace bitdotio
