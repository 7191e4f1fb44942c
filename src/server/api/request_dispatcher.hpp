// Passes every request of the HTTPS server to its routes, and notes it in the event log.
#pragma once

#include "server/api/http_listener.hpp"
#include "server/api/ops_routes.hpp"
#include "server/api/routes.hpp"
#include "server/base/event_log.hpp"

#include <boost/asio/awaitable.hpp>

#include <exception>
#include <memory>
#include <optional>

namespace bitdotio {

/// Thread safety: `answer` may be called from any thread, also concurrently.
class request_dispatcher final : public http_service {
public:
    request_dispatcher(std::shared_ptr<const routes> api,
                       std::shared_ptr<const ops_routes> operations,
                       std::shared_ptr<event_log> events)
        : api_(std::move(api)), operations_(std::move(operations)), events_(std::move(events)) {}

    /// Notes the request if it is refused; the server's own refusals of malformed ones are not
    /// noted.
    asio::awaitable<std::optional<http_response>> admit(http_request& request) const override;
    /// Answers a request and notes it: with the status 499 if its client had gone.
    asio::awaitable<http_response> answer(http_request request) const override;

private:
    asio::awaitable<http_response> pass_on(http_request request) const;
    void note(const http_request& request, int status) const;
    http_response excused(const std::exception_ptr& failure) const;

    std::shared_ptr<const routes> api_;
    std::shared_ptr<const ops_routes> operations_;
    std::shared_ptr<event_log> events_;
};

}  // namespace bitdotio
