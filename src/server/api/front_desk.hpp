// Every request of the HTTPS door: to whom it goes, and what the journal notes of it.
#pragma once

#include "server/api/http_listener.hpp"
#include "server/api/ops_routes.hpp"
#include "server/api/routes.hpp"
#include "server/base/journal.hpp"

#include <boost/asio/awaitable.hpp>

#include <memory>

namespace bitdotio {

/// Thread safety: `answer` may be called from any thread, also at once.
class front_desk {
public:
    front_desk(std::shared_ptr<const routes> api, std::shared_ptr<const ops_routes> operations,
               std::shared_ptr<journal> book)
        : api_(std::move(api)), operations_(std::move(operations)), journal_(std::move(book)) {}

    /// Notes what was answered; not what the door itself refuses for its form.
    asio::awaitable<http_response> answer(http_request request) const;

private:
    asio::awaitable<http_response> pass_on(http_request request) const;

    std::shared_ptr<const routes> api_;
    std::shared_ptr<const ops_routes> operations_;
    std::shared_ptr<journal> journal_;
};

}  // namespace bitdotio
