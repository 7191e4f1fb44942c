// The request on the caller's strand, where libpq can do that, and on a thread where it cannot.
#include "postgres/cancel_request.hpp"

#include "base/blocking.hpp"
#include "base/deadline.hpp"
#include "postgres/libpq_poll.hpp"

#include <memory>

namespace bitdotio {

namespace {

error nothing_to_ask_with() {
    return error(errc::system_failed, "the server gave no key to cancel with");
}

}  // namespace

#ifdef LIBPQ_HAS_ASYNC_CANCEL

asio::awaitable<void> request_cancel(PGconn* conn) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    const libpq::cancel request(PQcancelCreate(conn));
    if (!request || PQcancelStatus(request.get()) == CONNECTION_BAD) {
        throw nothing_to_ask_with();
    }
    if (!PQcancelStart(request.get())) {
        co_return;
    }
    libpq_socket socket(co_await asio::this_coro::executor);
    co_await poll_to_end(request, socket);
}

#else

asio::awaitable<void> request_cancel(PGconn* conn) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    const std::shared_ptr<PGcancel> request(PQgetCancel(conn), libpq::finish_cancel());
    if (!request) {
        throw nothing_to_ask_with();
    }
    std::function<void()> ask = [request] {
        char words[256];
        PQcancel(request.get(), words, sizeof words);
    };
    co_await run_blocking(std::move(ask));
}

#endif

}  // namespace bitdotio
