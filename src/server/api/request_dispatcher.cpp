// Passes requests on and measures their time.
#include "server/api/request_dispatcher.hpp"

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
        failure = std::current_exception();  // the server answers with 500
    }
    events_->answered(method, target, failure ? 500 : answer.status,
                      std::chrono::steady_clock::now() - began, *account);
    if (is_unforeseen(failure)) events_->failed("the API", failure);
    if (failure) std::rethrow_exception(failure);
    co_return answer;
}

asio::awaitable<http_response> request_dispatcher::pass_on(http_request request) const {
    if (request.to.who == audience::operators) {
        return operations_->answer(std::move(request));
    }
    return api_->answer(std::move(request));
}

}  // namespace bitdotio
