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
#include <boost/asio/deferred.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <memory>
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
    // Asio 1.24 takes a cancellation to the strand with a pointer into the caller's slot, which is
    // gone if the operation has ended by then. This signal outlives its messengers.
    const auto signal = std::make_shared<asio::cancellation_signal>();
    asio::cancellation_slot callers = state.slot();
    if (callers.is_connected()) {
        callers.assign([signal, strand](asio::cancellation_type type) {
            asio::dispatch(strand, [signal, type] { signal->emit(type); });
        });
    }
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

}  // namespace bitdotio
