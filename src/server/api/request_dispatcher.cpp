// Passes requests on and measures their time.
#include "server/api/request_dispatcher.hpp"

#include <bitdotio/error.hpp>

#include "server/api/api_error.hpp"
#include "server/catalog/key_secret.hpp"

#include <chrono>
#include <exception>
#include <utility>

namespace bitdotio {

asio::awaitable<http_response> request_dispatcher::answer(http_request request) const {
    const auto began = std::chrono::steady_clock::now();
    const auto account = std::make_shared<std::string>();
    const std::string method = request.method;
    const std::string target = request.target;
    request.account = account;
    std::exception_ptr failure;
    http_response answer;
    try {
        answer = co_await pass_on(std::move(request));
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) answer = excused(failure);
    events_->answered(method, target, answer.status, std::chrono::steady_clock::now() - began,
                      *account);
    co_return answer;
}

// The caller gets an id, the log gets the details. A client that is gone is no failure of ours.
http_response request_dispatcher::excused(const std::exception_ptr& failure) const {
    const std::string id = new_id();
    int status = 500;
    bool ours = is_unforeseen(failure);
    try {
        std::rethrow_exception(failure);
    } catch (const error& thrown) {
        ours = thrown.code() != errc::cancelled;
        const bool database = thrown.code() == errc::database_asleep ||
                              thrown.code() == errc::connection_lost ||
                              thrown.code() == errc::connect_failed;
        if (database) status = 503;
    } catch (...) {  // 500
    }
    if (ours) events_->failed("the API", failure, id);
    return internal_error(status, id);
}

asio::awaitable<http_response> request_dispatcher::pass_on(http_request request) const {
    if (request.to.who == audience::operators) {
        return operations_->answer(std::move(request));
    }
    return api_->answer(std::move(request));
}

}  // namespace bitdotio
