// Passes requests on and measures their time.
#include "server/api/request_dispatcher.hpp"

#include <chrono>
#include <exception>
#include <utility>

namespace bitdotio {

void request_dispatcher::note(const http_request& request, int status,
                              const std::exception_ptr& failure) const {
    events_->answered(request.method, request.target, status,
                      std::chrono::steady_clock::now() - request.begun, *request.account);
    if (is_unforeseen(failure)) events_->failed("the API", failure);
}

asio::awaitable<std::optional<http_response>> request_dispatcher::admit(
    http_request& request) const {
    request.account = std::make_shared<std::string>();
    std::exception_ptr failure;
    std::optional<http_response> refused;
    try {
        if (request.to.who == audience::operators) {
            refused = co_await operations_->admit(request);
        } else {
            refused = co_await api_->admit(request);
        }
    } catch (...) {
        failure = std::current_exception();  // the server answers with 500
    }
    if (failure) {
        note(request, 500, failure);
        std::rethrow_exception(failure);
    }
    if (refused) note(request, refused->status, nullptr);
    co_return refused;
}

asio::awaitable<http_response> request_dispatcher::answer(http_request request) const {
    http_request known;  // what is noted of it
    known.method = request.method;
    known.target = request.target;
    known.begun = request.begun;
    known.account = request.account;
    known.gone = request.gone;
    std::exception_ptr failure;
    http_response answer;
    try {
        answer = co_await pass_on(std::move(request));
    } catch (...) {
        failure = std::current_exception();  // the server answers with 500
    }
    note(known, *known.gone ? 499 : failure ? 500 : answer.status, failure);
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
