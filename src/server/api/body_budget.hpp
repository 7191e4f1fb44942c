// Bounds how many bytes of requests' bodies are in memory together.
#pragma once

#include "base/deadline.hpp"
#include "base/strand.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <deque>
#include <memory>

namespace bitdotio {

/// The memory that all connections of a server have for bodies.
///
/// A request reserves what its body may need before the body is read. Requests that find no room
/// wait for it; whichever fits first goes on, so that small ones pass large ones.
///
/// Thread safety: every function may be called from any thread.
/// Lifetime: held by shared_ptr; its shares keep it.
class body_budget : public std::enable_shared_from_this<body_budget> {
public:
    /// Parameters: `most` bytes.
    body_budget(asio::any_io_executor executor, std::uint64_t most)
        : strand_(executor), most_(most) {}

    /// Bytes that are reserved until this is destroyed.
    class [[nodiscard]] share {
    public:
        share() noexcept = default;
        share(std::shared_ptr<body_budget> from, std::uint64_t size) noexcept;
        share(share&& other) noexcept;
        share& operator=(share&& other) noexcept;
        ~share();

        /// Gives back what is more than `size`.
        void shrink(std::uint64_t size) noexcept;

    private:
        std::shared_ptr<body_budget> from_;
        std::uint64_t bytes_ = 0;
    };

    std::uint64_t most() const noexcept { return most_; }

    /// Returns when there is room.
    ///
    /// Errors: errc::server_busy if there is none before `deadline`.
    /// Cancellation: terminal, partial, total.
    asio::awaitable<share> reserve(std::uint64_t size, time_point deadline);

private:
    asio::awaitable<share> do_reserve(std::uint64_t size, time_point deadline);
    bool take(std::uint64_t size) noexcept;
    void release(std::uint64_t size) noexcept;

    strand strand_;
    const std::uint64_t most_;
    std::uint64_t used_ = 0;
    std::deque<std::shared_ptr<asio::steady_timer>> waiting_;  // in the order they came
};

}  // namespace bitdotio
