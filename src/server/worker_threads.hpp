// Threads for work that blocks for as long as it likes: files, readers and writers of formats.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cstddef>
#include <functional>
#include <utility>

namespace bitdotio {

namespace asio = boost::asio;

/// A few threads beside those of run_blocking, whose short work must not wait for jobs.
///
/// Thread safety: `run` may be called from any thread.
/// Lifetime: its end waits for the work that runs.
class worker_threads {
public:
    explicit worker_threads(std::size_t count) : threads_(count) {}

    /// Runs `work` on one of the threads; resumes where it was called.
    ///
    /// Errors: what `work` throws.
    /// Cancellation: none; work is cut into short slices by who has long work.
    asio::awaitable<void> run(std::function<void()> work) {
        // A strand each, so that a cancellation of the caller waits for the end of the work.
        const auto place = asio::make_strand(threads_.get_executor());
        auto done = call(std::move(work));
        co_await asio::co_spawn(place, std::move(done), asio::use_awaitable);
    }

private:
    static asio::awaitable<void> call(std::function<void()> work) {
        work();
        co_return;
    }

    asio::thread_pool threads_;
};

}  // namespace bitdotio
