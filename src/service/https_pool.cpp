// Chooses a session for each call, and decides which to keep.
#include "service/https_pool.hpp"

#include <utility>

namespace bitdotio {

namespace {

// More sessions than this are a burst, and not worth keeping.
constexpr std::size_t most_idle = 8;

}  // namespace

https_pool::https_pool(asio::any_io_executor executor, https_address address,
                       std::shared_ptr<boost::asio::ssl::context> tls)
    : executor_(executor),
      strand_(asio::make_strand(executor)),
      address_(std::move(address)),
      tls_(std::move(tls)) {
    idle_.reserve(most_idle);  // so that keeping one cannot fail
}

asio::awaitable<https_response> https_pool::request(https_request request, time_point deadline) {
    const auto self = shared_from_this();
    session lent = co_await on_strand(strand_, self, take());
    https_response response = co_await lent->request(std::move(request), deadline);
    if (lent->reusable()) {
        auto back = [self, lent = std::move(lent)]() mutable noexcept {
            self->keep(std::move(lent));
        };
        post_work(strand_, std::move(back));
    }
    co_return response;
}

asio::awaitable<void> https_pool::close() {
    return on_strand(strand_, shared_from_this(), do_close());
}

asio::awaitable<https_pool::session> https_pool::take() {
    while (!idle_.empty()) {
        session last = std::move(idle_.back());
        idle_.pop_back();
        if (last->reusable()) {
            co_return last;
        }
    }
    co_return std::make_unique<https_session>(executor_, address_, tls_);
}

void https_pool::keep(session used) {
    if (!closed_ && idle_.size() < most_idle) {
        idle_.push_back(std::move(used));
    }
}

asio::awaitable<void> https_pool::do_close() {
    closed_ = true;
    idle_.clear();
    co_return;
}

}  // namespace bitdotio
