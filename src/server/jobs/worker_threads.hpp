// Threads for work that blocks for as long as it likes: files, readers and writers of formats.
#pragma once

#include "base/deadline.hpp"
#include "base/spawn.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <tuple>
#include <utility>

namespace bitdotio {

namespace asio = boost::asio;

/// A few threads besides those of run_blocking, whose short work must not wait for jobs.
///
/// Thread safety: `run` may be called from any thread.
/// Lifetime: callers of `run` keep it alive; its destructor waits for running work.
class worker_threads {
public:
    explicit worker_threads(std::size_t count) : threads_(count) {}

    /// Runs `work` on one of the threads; resumes where it was called.
    ///
    /// Errors: whatever `work` throws; errc::cancelled, and nothing done, if the caller is already
    ///     cancelled, see on_strand.
    /// Cancellation: none; callers with long work cut it into short slices.
    asio::awaitable<void> run(std::function<void()> work) {
        // A strand for each call, so that cancelling the caller waits for the end of the work.
        return on_strand(asio::make_strand(threads_.get_executor()), nullptr,
                         call(std::move(work)));
    }

    /// As `run`, for work that can be interrupted.
    ///
    /// Parameters: `interrupt` makes `work` end soon. It is called once at most, where `run` was
    ///     called, if the caller is cancelled meanwhile; it must not throw.
    asio::awaitable<void> run(std::function<void()> work, std::function<void()> interrupt) {
        const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) {
            throw error(errc::cancelled, "the work was cancelled before it began");
        }
        const auto executor = co_await asio::this_coro::executor;
        const auto ended = std::make_shared<bool>(false);
        auto group = asio::experimental::make_parallel_group(
            beside(executor, run_and_note(std::move(work), ended)),
            beside(executor, wait_and_call(std::move(interrupt), ended)));
        const auto how =
            co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
        const std::exception_ptr failure = std::get<1>(how);
        if (failure) std::rethrow_exception(failure);
    }

private:
    static asio::awaitable<void> call(std::function<void()> work) {
        work();
        co_return;
    }

    // Notes the end before the group cancels the other one.
    asio::awaitable<void> run_and_note(std::function<void()> work, std::shared_ptr<bool> ended) {
        try {
            co_await run(std::move(work));
        } catch (...) {
            *ended = true;
            throw;
        }
        *ended = true;
    }

    static asio::awaitable<void> wait_and_call(std::function<void()> interrupt,
                                               std::shared_ptr<const bool> ended) {
        asio::steady_timer never(co_await asio::this_coro::executor, no_deadline);
        boost::system::error_code cancelled;
        co_await never.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
        if (!*ended) interrupt();
    }

    asio::thread_pool threads_;
};

}  // namespace bitdotio
