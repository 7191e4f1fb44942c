// Reads what nobody wants any more, and cancels what goes on.
#include <bitdotio/error.hpp>

#include "base/deadline.hpp"
#include "server/gateway/abandoned_session.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <chrono>
#include <exception>
#include <vector>

namespace bitdotio {

namespace {

constexpr std::chrono::seconds leaving_patience{1};
constexpr int most_cancels = 10;

time_point soon() {
    return std::chrono::steady_clock::now() + leaving_patience;
}

asio::awaitable<void> read_to_the_end(backend_link& link) {
    std::vector<char> bytes(16 * 1024);
    boost::system::error_code over;
    while (!over) {
        co_await link.stream().read_some(asio::buffer(bytes), over);
    }
    if (over == asio::error::operation_aborted) throw boost::system::system_error(over);
}

// Whether it ended in time.
asio::awaitable<bool> has_ended(backend_link& link) {
    try {
        co_await with_deadline(read_to_the_end(link), soon());
    } catch (const error& failure) {
        co_return failure.code() != errc::timeout;
    } catch (const std::exception&) {  // somebody has closed it
    }
    co_return true;
}

}  // namespace

asio::awaitable<void> end_abandoned(backend_link& link, cancel_key key) {
    boost::system::error_code ignored;
    link.shutdown(asio::socket_base::shutdown_send, ignored);
    for (int cancels = 0;; ++cancels) {
        const bool over = co_await has_ended(link);
        if (over || cancels == most_cancels) co_return;
        try {
            backend_link other(link.get_executor());
            co_await with_deadline(other.cancel(link.address(), key), soon());
        } catch (const std::exception&) {  // the next one may get through
        }
    }
}

}  // namespace bitdotio
