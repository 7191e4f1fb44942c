// The threads for work that blocks: a service of the execution context, joined when it ends.
#include "blocking.hpp"

#include "deadline.hpp"

#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <memory>
#include <utility>

namespace bitdotio {

namespace {

// Two, because a server that does not answer must not hold up the one that does, and because a
// storm of cancels must not become a storm of connections.
constexpr std::size_t thread_count = 2;

class blocking_service : public asio::execution_context::service {
public:
    using key_type = blocking_service;
    static inline asio::execution_context::id id;

    explicit blocking_service(asio::execution_context& context)
        : asio::execution_context::service(context), threads_(thread_count) {}

    asio::thread_pool& threads() { return threads_; }

private:
    void shutdown() override {
        threads_.stop();
        threads_.join();
    }

    asio::thread_pool threads_;
};

}  // namespace

asio::awaitable<void> run_blocking(std::function<void()> work) {
    struct job {
        explicit job(std::function<void()> what, asio::any_io_executor where)
            : work(std::move(what)), done(where, never) {}
        std::function<void()> work;
        asio::steady_timer done;
        std::exception_ptr failure;
        bool finished = false;
    };
    const auto executor = co_await asio::this_coro::executor;
    auto& context = asio::query(executor, asio::execution::context);
    const auto shared = std::make_shared<job>(std::move(work), executor);
    auto task = [shared] {
        try {
            shared->work();
        } catch (...) {
            shared->failure = std::current_exception();
        }
        shared->work = nullptr;
        // The timer belongs to the caller's strand.
        asio::post(shared->done.get_executor(), [shared] {
            shared->finished = true;
            shared->done.cancel();
        });
    };
    asio::post(asio::use_service<blocking_service>(context).threads(), std::move(task));
    if (!shared->finished) {
        boost::system::error_code ended;
        co_await shared->done.async_wait(asio::redirect_error(asio::use_awaitable, ended));
    }
    if (!shared->finished) {
        throw error(errc::cancelled, "waiting was cancelled");
    }
    if (shared->failure) {
        std::rethrow_exception(shared->failure);
    }
}

}  // namespace bitdotio
