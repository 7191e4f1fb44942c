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

/// A few threads beside those of run_blocking, whose short work must not wait for jobs.
///
/// Thread safety: `run` may be called from any thread.
/// Lifetime: whoever awaits `run` keeps it alive; its end waits for the work that runs.
class worker_threads {
public:
    explicit worker_threads(std::size_t count) : threads_(count) {}

    /// Runs `work` on one of the threads; resumes where it was called.
    ///
    /// Errors: what `work` throws, whatever it is; errc::cancelled, and nothing done, if the caller
    ///     is cancelled already, see on_strand.
    /// Cancellation: none; work is cut into short slices by who has long work.
    asio::awaitable<void> run(std::function<void()> work) {
        // A strand each, so that a cancellation of the caller waits for the end of the work.
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
