// Passes requests on and measures their time.
#include "server/api/request_dispatcher.hpp"

#include <bitdotio/error.hpp>

#include "server/api/api_error.hpp"
#include "server/catalog/key_secret.hpp"

#include <chrono>
#include <exception>
#include <utility>

namespace bitdotio {

void request_dispatcher::note(const http_request& request, int status) const {
    events_->answered(request.method, request.target, status,
                      std::chrono::steady_clock::now() - request.begun, *request.account);
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
        failure = std::current_exception();
    }
    if (failure) refused = excused(failure);
    if (refused) note(request, refused->status);
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
        failure = std::current_exception();
    }
    if (failure) answer = excused(failure);
    note(known, *known.gone ? 499 : answer.status);
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
