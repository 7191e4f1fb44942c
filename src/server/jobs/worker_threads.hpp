// Threads for work that blocks for as long as it likes: files, readers and writers of formats.
#pragma once

#include "base/spawn.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>

#include <cstddef>
#include <functional>
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

private:
    static asio::awaitable<void> call(std::function<void()> work) {
        work();
        co_return;
    }

    asio::thread_pool threads_;
};

}  // namespace bitdotio
