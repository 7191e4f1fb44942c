// Splices two streams: one pump for each direction, and the session's limits.
#include "server/gateway/splice.hpp"

#include "base/spawn.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdotio {

namespace {

// OpenSSL hands over one record at a time, which holds 16 KiB.
constexpr std::size_t largest_record = 16 * 1024;
// From PostgreSQL: four of the records to the client, which become one packet.
constexpr std::size_t buffer_size = 32 * 1024;
// The time for what still runs to end after the client has gone.
constexpr std::chrono::seconds leaving_grace{1};
// Rows are counted in batches: each costs a message to the catalog.
constexpr std::int64_t handful = 10'000;

time_point now() {
    return std::chrono::steady_clock::now();
}

}  // namespace

// Ends when the direction to the client ends, with nothing left to tell it, or by the limits.
struct splice::until_over {
    asio::cancellation_type operator()(std::exception_ptr failure, part ended) const {
        return failure || ended != part::upstream ? asio::cancellation_type::terminal
                                                  : asio::cancellation_type::none;
    }
};

splice::splice(tls_socket& client, backend_link& backend, session_watch watch,
               std::shared_ptr<const answer_delay> delay,
               std::function<void(std::int64_t)> count_rows)
    : client_(client),
      backend_(backend),
      watch_(std::move(watch)),
      delay_(std::move(delay)),
      count_rows_(std::move(count_rows)),
      alarm_(client.get_executor()) {}

asio::awaitable<session_watch::ending> splice::run() {
    const auto executor = co_await asio::this_coro::executor;
    auto all = asio::experimental::make_parallel_group(beside(executor, pump_up()),
                                                       beside(executor, pump_down()),
                                                       beside(executor, keep_limits()));
    co_await all.async_wait(until_over(), asio::use_awaitable);
    count();
    co_return ending_;
}

void splice::retire() {
    watch_.retire();
    alarm_.cancel();
}

asio::awaitable<splice::part> splice::pump_up() {
    std::vector<char> bytes(largest_record);
    boost::system::error_code failure;
    while (!failure) {
        const std::size_t size = co_await client_.read_some(asio::buffer(bytes), failure);
        if (size == 0) continue;
        watch_.from_client(std::string_view(bytes.data(), size), now());
        if (watch_.floods()) {
            alarm_.cancel();
            co_return part::upstream;
        }
        boost::system::error_code unsent;
        if (backend_.stream().put(asio::buffer(bytes.data(), size), unsent)) {
            co_await backend_.stream().flush(unsent);
        }
        if (unsent) co_return part::upstream;
    }
    // Once it has answered, PostgreSQL ends a session whose client stopped sending.
    boost::system::error_code ignored;
    backend_.shutdown(asio::socket_base::shutdown_send, ignored);
    // A process that dies sends no close_notify, and nobody reads answers after a goodbye.
    if (failure == asio::error::eof && !watch_.has_said_goodbye()) co_return part::upstream;
    asio::steady_timer grace(co_await asio::this_coro::executor, leaving_grace);
    co_await grace.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    co_return part::client_gone;
}

asio::awaitable<splice::part> splice::pump_down() {
    std::vector<char> bytes(buffer_size);
    boost::system::error_code failure;
    while (!failure) {
        const std::size_t size = co_await backend_.stream().read_some(asio::buffer(bytes), failure);
        if (size == 0) continue;
        watch_.from_server(std::string_view(bytes.data(), size), now());
        if (delay_->load(std::memory_order_relaxed) > 0) co_await hold_back();
        boost::system::error_code unsent;
        if (client_.put(asio::buffer(bytes.data(), size), unsent)) co_await client_.flush(unsent);
        if (unsent) break;
        const time_point told = now();
        watch_.handed_on(told);
        if (watch_.is_pressing(told)) alarm_.cancel();
        if (watch_.rows() >= handful) count();
    }
    co_return part::downstream;
}

asio::awaitable<splice::part> splice::keep_limits() {
    while (true) {
        const time_point at = now();
        ending_ = watch_.due(at);
        if (ending_ != session_watch::ending::none) co_return part::limits;
        count();
        alarm_.expires_at(watch_.next(at).value_or(no_deadline));
        boost::system::error_code ended;
        co_await alarm_.async_wait(asio::redirect_error(asio::use_awaitable, ended));
    }
}

asio::awaitable<void> splice::hold_back() {
    const std::chrono::milliseconds time(delay_->load());
    asio::steady_timer held(co_await asio::this_coro::executor, time);
    co_await held.async_wait(asio::use_awaitable);
}

void splice::count() {
    if (const std::int64_t rows = watch_.take_rows(); rows > 0) count_rows_(rows);
}

}  // namespace bitdotio
