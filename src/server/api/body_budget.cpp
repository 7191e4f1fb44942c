// Waits on a strand for bytes to be given back.
#include "server/api/body_budget.hpp"

#include <bitdotio/error.hpp>

#include <string>
#include <utility>

namespace bitdotio {

body_budget::share::share(std::shared_ptr<body_budget> from, std::uint64_t size) noexcept
    : from_(std::move(from)), bytes_(size) {}

body_budget::share::share(share&& other) noexcept
    : from_(std::move(other.from_)), bytes_(std::exchange(other.bytes_, 0)) {}

body_budget::share& body_budget::share::operator=(share&& other) noexcept {
    std::swap(from_, other.from_);
    std::swap(bytes_, other.bytes_);
    return *this;
}

body_budget::share::~share() {
    shrink(0);
}

void body_budget::share::shrink(std::uint64_t size) noexcept {
    if (!from_ || size >= bytes_) return;
    from_->release(bytes_ - size);
    bytes_ = size;
}

asio::awaitable<body_budget::share> body_budget::reserve(std::uint64_t size, time_point deadline) {
    const auto self = shared_from_this();
    bool has_room = false;
    strand_.run_now([&] { has_room = take(size); });
    if (has_room) co_return share(self, size);
    co_return co_await on_strand(strand_, self, do_reserve(size, deadline));
}

bool body_budget::take(std::uint64_t size) noexcept {
    if (size > most_ - used_) return false;
    used_ += size;
    return true;
}

asio::awaitable<body_budget::share> body_budget::do_reserve(std::uint64_t size,
                                                            time_point deadline) {
    while (!take(size)) {
        if (std::chrono::steady_clock::now() >= deadline) {
            throw error(errc::server_busy, "the server holds as much of requests as it may, " +
                                               std::to_string(most_) +
                                               " bytes: try again later, or send less at once");
        }
        const auto mine = std::make_shared<asio::steady_timer>(strand_, deadline);
        waiting_.push_back(mine);
        boost::system::error_code ended;
        co_await mine->async_wait(asio::redirect_error(asio::use_awaitable, ended));
        std::erase(waiting_, mine);
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) {
            throw error(errc::cancelled, "waiting for room was cancelled");
        }
    }
    co_return share(shared_from_this(), size);
}

void body_budget::release(std::uint64_t size) noexcept {
    dispatch_work(strand_, [self = shared_from_this(), size]() noexcept {
        self->used_ -= size;
        for (const auto& each : self->waiting_) {
            each->cancel();
        }
    });
}

}  // namespace bitdotio
