// Chooses a session for each call, and decides which to keep, without a strand or a lock.
#include "service/https_pool.hpp"

#include <utility>

namespace bitdotio {

https_pool::https_pool(asio::any_io_executor executor, https_address address,
                       std::shared_ptr<boost::asio::ssl::context> tls)
    : executor_(std::move(executor)), address_(std::move(address)), tls_(std::move(tls)) {}

https_pool::~https_pool() {
    drop_idle();
}

asio::awaitable<https_response> https_pool::request(https_request request, time_point deadline) {
    const auto self = shared_from_this();
    session lent = take();
    https_response response = co_await lent->request(std::move(request), deadline);
    if (lent->is_kept_alive()) keep(std::move(lent));
    co_return response;
}

https_pool::session https_pool::take() {
    for (std::atomic<https_session*>& place : idle_) {
        if (!place.load(std::memory_order_relaxed)) continue;
        session found(place.exchange(nullptr));
        if (found && found->reusable()) return found;
    }
    return std::make_unique<https_session>(executor_, address_, tls_);
}

void https_pool::keep(session used) noexcept {
    for (std::atomic<https_session*>& place : idle_) {
        https_session* empty = nullptr;
        if (place.compare_exchange_strong(empty, used.get())) {
            used.release();
            break;
        }
    }
    if (closed_) drop_idle();  // it may have come after those that were there were dropped
}

void https_pool::drop_idle() noexcept {
    for (std::atomic<https_session*>& place : idle_) {
        const session dropped(place.exchange(nullptr));
    }
}

void https_pool::close() noexcept {
    closed_ = true;
    drop_idle();
}

}  // namespace bitdotio
