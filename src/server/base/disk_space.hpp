// Knows how much of a disk is free, and refuses new work when that is too little.
#pragma once

#include <bitdotio/error.hpp>

#include "base/deadline.hpp"
#include "base/strand.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace bitdotio {

namespace asio = boost::asio;

/// Thrown for work that there is no room for on the server's disk (507 in the API).
class no_room : public error {
public:
    explicit no_room(const std::string& message) : error(errc::server_busy, message) {}
};

/// Measures the disk that a directory is on, at most once a second.
///
/// Thread safety: its functions may be called from any thread.
/// Lifetime: held by shared_ptr.
class disk_space : public std::enable_shared_from_this<disk_space> {
public:
    struct figures {
        std::uint64_t size = 0;  ///< 0 if the disk does not tell
        std::uint64_t free = 0;  ///< for users other than root
        std::uint64_t reserve = 0;

        /// What may be taken without touching the reserve.
        std::uint64_t spare() const noexcept {
            if (size == 0) return UINT64_MAX;
            return free > reserve ? free - reserve : 0;
        }
    };

    /// Parameters: `reserve` in bytes; by default 1 GiB, or a hundredth of the disk if that is
    /// less.
    disk_space(asio::any_io_executor executor, std::filesystem::path directory,
               std::optional<std::uint64_t> reserve);

    asio::awaitable<figures> look();

    /// Errors: no_room if less is free than the reserve.
    asio::awaitable<void> check();

private:
    asio::awaitable<figures> do_look();

    const strand strand_;
    const std::filesystem::path directory_;
    const std::optional<std::uint64_t> reserve_;
    std::optional<time_point> measured_;
    figures known_;
};

}  // namespace bitdotio
