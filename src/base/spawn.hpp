// Starts coroutines and handlers: on a strand, beside others, or awaited by nobody.
#pragma once

#include <bitdotio/error.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/defer.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace bitdotio {

namespace asio = boost::asio;

/// Runs `operation`, a named member coroutine's awaitable, on `strand` and resumes where it was
/// called. This is the one way onto another executor.
///
/// A cancellation of the caller reaches the operation on `strand`, and the caller waits for its
/// end all the same.
///
/// Parameters: `owner` lives until then; null where the caller's own frame keeps what is used.
/// Errors: errc::cancelled before anything was done if the caller is already cancelled. Work that
///     must be done even then, such as removing files, resets its cancellation state before it.
template <class T, class Strand, class Owner>
asio::awaitable<T> on_strand(Strand strand, Owner owner, asio::awaitable<T> operation) {
    const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
        throw error(errc::cancelled, "the operation was cancelled before it began")
            .with(outcome::not_sent);
    }
    [[maybe_unused]] const auto alive = std::move(owner);
    asio::cancellation_slot callers = state.slot();
    if (!callers.is_connected()) {  // nobody can cancel the caller
        co_return co_await asio::co_spawn(strand, std::move(operation), asio::use_awaitable);
    }
    // Asio 1.24 takes a cancellation to the strand with a pointer into the caller's slot, which is
    // gone if the operation has ended by then. This signal outlives its messengers.
    const auto signal = std::make_shared<asio::cancellation_signal>();
    callers.assign([signal, strand](asio::cancellation_type type) {
        asio::dispatch(strand, [signal, type] { signal->emit(type); });
    });
    auto here = asio::bind_cancellation_slot(signal->slot(), asio::use_awaitable);
    co_return co_await asio::co_spawn(strand, std::move(operation), std::move(here));
}

/// Runs `operation` on the group's own `executor`, as a part of the parallel group that awaits it.
template <class T>
auto beside(const asio::any_io_executor& executor, asio::awaitable<T> operation) {
    return asio::co_spawn(executor, std::move(operation), asio::deferred);
}

/// Runs `operation` on `executor`, awaited by nobody, and calls `ended` with what it threw, or with
/// null: on `executor` too, or on the executor that `ended` is bound to.
///
/// Whoever spawns a coroutine owns its end: `ended` logs what failed, and releases those that wait
/// for it. It must be noexcept, because nobody would receive what it throws.
///
/// Parameters: `signal` cancels the operation when it is emitted on `executor`; it is kept until
///     the operation has ended.
/// Lifetime: the operation must hold what it uses.
template <class Executor, class End>
void spawn_alone(const Executor& executor, asio::awaitable<void> operation, End ended,
                 std::shared_ptr<asio::cancellation_signal> signal = nullptr) {
    const auto home = asio::get_associated_executor(ended, executor);
    auto end = [ended = std::move(ended), signal](std::exception_ptr thrown) mutable noexcept {
        if constexpr (requires { ended.get(); }) {
            static_assert(noexcept(ended.get()(std::move(thrown))), "the end must be noexcept");
            ended.get()(std::move(thrown));
        } else {
            static_assert(noexcept(ended(std::move(thrown))), "the end must be noexcept");
            ended(std::move(thrown));
        }
    };
    const auto slot = signal ? signal->slot() : asio::cancellation_slot();
    asio::co_spawn(executor, std::move(operation),
                   asio::bind_cancellation_slot(slot, asio::bind_executor(home, std::move(end))));
}

/// Makes a handler of `work` that throws nothing: `failed`, which must be noexcept, is called with
/// what `work` throws.
template <class Work, class Failed>
auto guarded(Work work, Failed failed) {
    static_assert(std::is_nothrow_invocable_v<Failed&, std::exception_ptr>);
    return [work = std::move(work), failed = std::move(failed)](auto&&... given) mutable noexcept {
        try {
            work(std::forward<decltype(given)>(given)...);
        } catch (...) {
            failed(std::current_exception());
        }
    };
}

/// Runs `work` on `executor` soon, not before this returns.
///
/// An exception out of a handler ends the thread it is on. So `work` is noexcept: `guarded`, or
/// unable to fail except for lack of memory.
template <class Executor, class Work>
void post_work(const Executor& executor, Work work) {
    static_assert(std::is_nothrow_invocable_v<Work&>, "guard what may throw");
    asio::post(executor, std::move(work));
}

/// As `post_work`, but at once where `executor` is the caller's own.
template <class Executor, class Work>
void dispatch_work(const Executor& executor, Work work) {
    static_assert(std::is_nothrow_invocable_v<Work&>, "guard what may throw");
    asio::dispatch(executor, std::move(work));
}

/// Lets a suspended coroutine go on, soon and on `strand`. What comes out of it goes where the
/// strand's exceptions go.
template <class Strand, class Handler>
void resume_soon(const Strand& strand, Handler suspended) {
    asio::post(asio::bind_executor(strand, std::move(suspended)));
}

// ---- A coroutine that goes onto a strand itself, in its own frames. That costs a fraction of
// `on_strand`, which is a coroutine beside it, and is for the hottest paths alone:
// - Nobody may be able to cancel it (`cannot_be_cancelled`): cancellations come on its own
// executor.
// - What it awaits on the strand resumes there only if it is bound to the strand, or goes through
//   `within_strand`. `this_coro::executor` is still its own.
// - It goes back (`leave_strand`) before it returns or throws to those that know nothing of this.

/// Whether no cancellation can reach a coroutine of this state.
inline bool cannot_be_cancelled(const asio::cancellation_state& state) noexcept {
    return !state.slot().is_connected();
}

/// Awaited, takes the coroutine onto `strand`.
template <class Strand>
auto enter_strand(const Strand& strand) {
    return asio::dispatch(asio::bind_executor(strand, asio::deferred));
}

/// Awaited, takes it back to its own executor. It goes on after the strand was left, because what
/// it does then is no concern of the strand's.
inline auto leave_strand() {
    return asio::defer(asio::deferred);
}

/// As `on_strand`, for a strand that many share: the caller goes on after it was left. Otherwise
/// its own work, up to where it waits the next time, would keep the others waiting.
template <class T, class Strand, class Owner>
asio::awaitable<T> on_shared_strand(Strand strand, Owner owner, asio::awaitable<T> operation) {
    using value = std::conditional_t<std::is_void_v<T>, bool, T>;
    std::optional<value> answer;
    std::exception_ptr failure;
    try {
        if constexpr (std::is_void_v<T>) {
            co_await on_strand(strand, std::move(owner), std::move(operation));
        } else {
            answer.emplace(co_await on_strand(strand, std::move(owner), std::move(operation)));
        }
    } catch (...) {
        failure = std::current_exception();
    }
    // What has succeeded has succeeded, also where the caller was cancelled meanwhile.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    co_await leave_strand();
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (failure) {
        std::rethrow_exception(failure);
    }
    if constexpr (!std::is_void_v<T>) {
        co_return std::move(*answer);
    }
}

/// Runs `operation`, which knows nothing of this, for a coroutine that is on `strand`.
template <class T, class Strand>
asio::awaitable<T> within_strand(const Strand& strand, asio::awaitable<T> operation) {
    return asio::co_spawn(strand, std::move(operation),
                          asio::bind_executor(strand, asio::use_awaitable));
}

}  // namespace bitdotio
