// Runs work that blocks on a thread of its own while the executor goes on.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <functional>

namespace bitdotio {

namespace asio = boost::asio;

/// Runs `work` on one of two threads kept for this in the executor's context; resumes where it was
/// called, which must be on a strand.
///
/// Work that was given up and still goes on has its thread to itself. It may outlive the context,
/// which does not wait for it when it ends.
///
/// Parameters: what `work` refers to must be shared with it, because it goes on after a
///     cancellation.
/// Errors: what `work` throws; errc::system_failed if no thread can be started.
/// Cancellation: terminal, partial, total: stops waiting; `work` runs to its end unobserved.
asio::awaitable<void> run_blocking(std::function<void()> work);

}  // namespace bitdotio
