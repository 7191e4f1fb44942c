// Asks the file system, on a thread that may block.
#include "server/base/disk_space.hpp"

#include "base/blocking.hpp"

#include <sys/statvfs.h>

#include <algorithm>
#include <functional>

namespace bitdotio {

namespace {

constexpr std::chrono::seconds lasts{1};
constexpr std::uint64_t usual_reserve = std::uint64_t{1} << 30;

}  // namespace

disk_space::disk_space(asio::any_io_executor executor, std::filesystem::path directory,
                       std::optional<std::uint64_t> reserve)
    : strand_(std::move(executor)), directory_(std::move(directory)), reserve_(reserve) {}

asio::awaitable<disk_space::figures> disk_space::look() {
    return on_strand(strand_, shared_from_this(), do_look());
}

asio::awaitable<disk_space::figures> disk_space::do_look() {
    const time_point now = std::chrono::steady_clock::now();
    if (measured_ && now - *measured_ < lasts) co_return known_;
    const auto told = std::make_shared<figures>();
    std::function<void()> ask = [told, directory = directory_] {
        struct statvfs about {};
        if (::statvfs(directory.c_str(), &about) != 0) return;
        told->size = std::uint64_t{about.f_blocks} * about.f_frsize;
        told->free = std::uint64_t{about.f_bavail} * about.f_frsize;
    };
    co_await run_blocking(std::move(ask));
    told->reserve = reserve_.value_or(std::min(usual_reserve, told->size / 100));
    known_ = *told;
    measured_ = now;
    co_return known_;
}

asio::awaitable<void> disk_space::check() {
    const figures now = co_await look();
    if (now.spare() == 0) {
        throw no_room(
            "the disk of the server is nearly full: it takes no imports, exports and new databases "
            "until space is free");
    }
}

}  // namespace bitdotio
