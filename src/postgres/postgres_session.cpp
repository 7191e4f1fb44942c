// The way onto a session's strand, and its watch while it is idle.
#include "postgres/postgres_session.hpp"

#include "postgres/shared_pipeline.hpp"

#include <algorithm>
#include <exception>
#include <type_traits>
#include <utility>
#include <variant>

namespace bitdotio {

postgres_session::postgres_session(strand home, const connect_options& options,
                                   std::shared_ptr<cancel_queue> cancels)
    : strand_(std::move(home)), exchange_(strand_, options, std::move(cancels)) {}

asio::awaitable<void> postgres_session::open(libpq_parameters parameters, time_point deadline) {
    return on_strand(strand_, shared_from_this(), exchange_.open(std::move(parameters), deadline));
}

// In the frames of a caller that nobody can cancel; the others have a coroutine beside theirs.
//
// Parameters: `ask(is_guest)` begins what is asked, for a guest on the strand or for a coroutine of
// the strand's own.
template <class T, class Ask>
asio::awaitable<T> postgres_session::in_place(call mine, Ask ask) {
    const asio::cancellation_state callers = co_await asio::this_coro::cancellation_state;
    if (!cannot_be_cancelled(callers)) {
        asio::awaitable<T> whole = ask(false);
        co_return co_await on_shared_strand(strand_, std::move(mine), std::move(whole));
    }
    co_await enter_strand(strand_);
    std::exception_ptr failure;
    [[maybe_unused]] std::conditional_t<std::is_void_v<T>, std::monostate, T> answer;
    try {
        if constexpr (std::is_void_v<T>) {
            co_await ask(true);
        } else {
            answer = co_await ask(true);
        }
    } catch (...) {
        failure = std::current_exception();
    }
    co_await leave_strand();
    if (failure) {
        std::rethrow_exception(failure);
    }
    if constexpr (!std::is_void_v<T>) {
        co_return answer;
    }
}

asio::awaitable<result> postgres_session::run(statement sql, params values) {
    birth_.check_same_process("the connection");
    auto ask = [this, sql = std::move(sql), values = std::move(values)](bool is_guest) {
        return is_guest ? exchange_.answer_for(strand_, sql, values)
                        : exchange_.answer(sql, values);
    };
    return in_place<result>(call(shared_from_this()), std::move(ask));
}

asio::awaitable<result> postgres_session::run_kept(const statement& sql, const params& values) {
    birth_.check_same_process("the connection");
    auto ask = [this, &sql, &values](bool is_guest) {
        return is_guest ? exchange_.answer_for(strand_, sql, values)
                        : exchange_.answer(sql, values);
    };
    return in_place<result>(call(shared_from_this()), std::move(ask));
}

asio::awaitable<void> postgres_session::commit() {
    birth_.check_same_process("the connection");
    auto ask = [this](bool is_guest) {
        return is_guest ? exchange_.commit_for(strand_) : exchange_.commit();
    };
    return in_place<void>(call(shared_from_this()), std::move(ask));
}

asio::awaitable<pipeline_results> postgres_session::run_pipeline(
    std::shared_ptr<const pipeline> batch) {
    birth_.check_same_process("the connection");
    auto ask = [this, batch = std::move(batch)](bool is_guest) {
        return is_guest ? exchange_.run_pipeline_for(strand_, batch)
                        : exchange_.run_pipeline(batch);
    };
    return in_place<pipeline_results>(call(shared_from_this()), std::move(ask));
}

asio::awaitable<void> postgres_session::share(std::shared_ptr<shared_pipeline> all) {
    return on_own_strand(all->serve(exchange_));
}

void postgres_session::abandon_stream(std::uint64_t stream) {
    if (!birth_.is_here()) {
        return;
    }
    dispatch_work(strand_, [self = shared_from_this(), stream]() noexcept {
        self->exchange_.abandon_stream(stream);
    });
}

asio::awaitable<void> postgres_session::clean(std::chrono::milliseconds timeout) {
    return on_strand(strand_, shared_from_this(), exchange_.clean(timeout));
}

void postgres_session::roll_back_first() {
    if (!birth_.is_here()) {
        return;
    }
    dispatch_work(strand_,
                  [self = shared_from_this()]() noexcept { self->exchange_.roll_back_first(); });
}

bool postgres_session::begin_first(std::string text) {
    if (!birth_.is_here() || status() != session_status::idle || !exchange_.promise_begin()) {
        return false;
    }
    dispatch_work(strand_, [self = shared_from_this(), text = std::move(text)]() mutable noexcept {
        self->exchange_.begin_first(std::move(text));
    });
    return true;
}

void postgres_session::reset_first(session_reset how) {
    if (!birth_.is_here() || how == session_reset::never) {
        return;
    }
    dispatch_work(
        strand_, [self = shared_from_this(), how]() noexcept { self->exchange_.reset_first(how); });
}

void postgres_session::watch(std::function<void()> on_death) {
    auto begin = [self = shared_from_this(), on_death = std::move(on_death)]() mutable {
        self->exchange_.watch().tell(std::move(on_death));
        self->do_watch();
    };
    dispatch_work(strand_, guarded(std::move(begin), on_failure()));
}

bool postgres_session::watch_notifications(std::function<void()> on_event) {
    const bool some = !exchange_.notifications().empty();
    if (some || !exchange_.is_open()) {
        return false;
    }
    exchange_.watch().tell(std::move(on_event));
    do_watch();
    return true;
}

std::vector<notification> postgres_session::notifications() {
    return std::exchange(exchange_.notifications(), {});
}

void postgres_session::do_watch() {
    if (!exchange_.is_open() || exchange_.is_under_way()) {
        return;
    }
    auto event = [weak = weak_from_this(), generation = exchange_.watch().begin()](
                     const boost::system::error_code& failure) {
        if (const auto self = weak.lock()) {
            self->watch_event(generation, failure);
        }
    };
    exchange_.when_readable(guarded(std::move(event), on_failure()));
}

void postgres_session::watch_event(std::uint64_t generation,
                                   const boost::system::error_code& failure) {
    if (failure || !exchange_.watch().has_come(generation)) {
        return;
    }
    if (exchange_.is_alive() && !exchange_.has_notifications()) {
        do_watch();
        return;
    }
    const std::function<void()> on_death = exchange_.watch().take_whom();
    // Closing is left to the owner: it may be looking at the descriptor right now.
    if (on_death) {
        on_death();
    }
}

asio::awaitable<bool> postgres_session::probe(std::chrono::milliseconds timeout) {
    const auto self = shared_from_this();
    if (!birth_.is_here()) {
        co_return false;
    }
    try {
        co_return co_await on_strand(strand_, self, do_probe(timeout));
    } catch (const std::exception&) {  // the caller was cancelled before it began
    }
    auto give_up = [self]() noexcept {
        if (!self->exchange_.is_under_way()) {
            self->exchange_.cut("it gave no sign of life");
        }
    };
    dispatch_work(strand_, give_up);
    co_return false;
}

asio::awaitable<bool> postgres_session::do_probe(std::chrono::milliseconds timeout) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    if (exchange_.is_under_way()) {
        co_return false;
    }
    std::function<void()> watcher = exchange_.watch().whom();
    co_await exchange_.probe(std::max(timeout, std::chrono::milliseconds(1)));
    if (!exchange_.is_open()) {
        co_return false;
    }
    if (watcher) {
        exchange_.watch().tell(std::move(watcher));
        do_watch();
    }
    co_return true;
}

void postgres_session::close() {
    if (!birth_.is_here()) {
        return;
    }
    exchange_.refuse_more();  // at once, so that a pool it goes back to does not lend it
    dispatch_work(strand_, [self = shared_from_this()]() noexcept { self->exchange_.close(); });
}

void postgres_session::cut(std::string why) {
    exchange_.refuse_more();
    dispatch_work(strand_, [self = shared_from_this(), why = std::move(why)]() mutable noexcept {
        self->exchange_.cut(std::move(why));
    });
}

}  // namespace bitdotio
