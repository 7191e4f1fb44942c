// Serves a kept-alive connection request by request; with its stream, the server's only Beast.
#include <bitdotio/error.hpp>

#include "server/api/api_error.hpp"
#include "server/api/body_budget.hpp"
#include "server/api/client_watch.hpp"
#include "server/api/http_listener.hpp"
#include "server/api/http_rules.hpp"
#include "server/api/http_stream.hpp"

#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

namespace bitdotio {

namespace {

namespace http = boost::beast::http;
using asio::use_awaitable;
using asio::ip::tcp;

// As in the header Host.
std::string reached_at(const tcp::socket& socket) {
    boost::system::error_code gone;
    const tcp::endpoint here = socket.local_endpoint(gone);
    const std::string address = here.address().to_string();
    return (here.address().is_v6() ? "[" + address + "]" : address) + ":" +
           std::to_string(here.port());
}

class http_session final : public server_connection,
                           public std::enable_shared_from_this<http_session> {
public:
    http_session(tcp::socket socket, asio::ssl::context& tls,
                 std::shared_ptr<const http_service> service, std::shared_ptr<body_budget> memory,
                 const http_times& times)
        : service_(std::move(service)),
          memory_(std::move(memory)),
          peer_(address_of(socket)),
          here_(reached_at(socket)),
          wire_(std::move(socket), tls, times) {}

    asio::any_io_executor executor() override { return wire_.socket().get_executor(); }

    asio::awaitable<void> serve() override {
        const auto self = shared_from_this();
        const std::shared_ptr<http_stream> wire(self, &wire_);
        co_await wire_.accept(wire);
        while (!leaving_ && co_await serve_one()) {
        }
        co_await wire_.close(farewell_);
    }

    void leave() override {
        leaving_ = true;
        boost::system::error_code ignored;
        if (idle_) plain().cancel(ignored);
    }

    void cut() noexcept override {
        boost::system::error_code ignored;
        plain().set_option(asio::socket_base::linger(true, 0), ignored);
        plain().close(ignored);
    }

private:
    tls_socket::socket& plain() noexcept { return wire_.socket().plain(); }
    const http_times& times() const noexcept { return wire_.times(); }

    // Serves one request; returns false if the connection ends with it.
    asio::awaitable<bool> serve_one() {
        http_stream::header_parser header;
        header.header_limit(http_bounds::header);
        header.body_limit(boost::none);
        boost::system::error_code failure;
        co_await await_request(failure);
        if (!failure) {
            wire_.expires_after(times().exchange);
            co_await wire_.read_header(header, failure);
        }
        if (failure) {
            co_await send_refusal(refuse_unreadable(failure), 11);
            co_return false;
        }
        const unsigned version = header.get().version();
        std::optional<http_response> refused = refuse_header(header.get());
        if (!refused && !refusal().empty()) refused = api_error(503, refusal(), "too_many");
        if (refused) {
            co_await send_refusal(std::move(refused), version);
            co_return false;
        }
        const bool has_body = header.chunked() || header.content_length().value_or(0) > 0;
        const bool head = header.get().method() == http::verb::head;
        bool keep_alive = header.keep_alive();
        wire_.begin();
        http_request request = take(header.get());
        if (const auto length = header.content_length()) request.declared = *length;

        wire_.expires_never();
        refused = co_await admit(request);
        if (refused) {  // a body is not read: it ends the connection
            keep_alive = keep_alive && !has_body && !leaving_;
            if (has_body) farewell_ = times().refused;
            co_await wire_.send(std::move(*refused), version, keep_alive, head);
            co_return keep_alive;
        }
        if (request.who) prove();
        std::shared_ptr<incoming_body> streamed;
        body_budget::share room;
        if (request.to.streams) {
            streamed = std::make_shared<incoming_body>(wire_, std::move(header));
            request.stream = streamed;
        } else if (has_body) {
            refused = co_await read_body(request, std::move(header), room, failure);
        }
        if (refused || failure) {
            farewell_ = times().refused;
            co_await send_refusal(std::move(refused), version);
            co_return false;
        }
        const api_call call = request.to.call.value();
        std::optional<http_response> answer;
        if (!serves_gone(call)) {
            answer = co_await answer_watched(std::move(request), !streamed);
        } else {
            answer = co_await answer_to(std::move(request));
        }
        room = {};
        if (!answer) co_return false;  // nobody is there to read it
        if (call == api_call::download && answer->status < 400) prove();
        if (streamed) {
            keep_alive = keep_alive && streamed->is_done();
            if (!streamed->is_done()) farewell_ = times().refused;
            streamed->end();
            if (streamed->failure()) {  // the answer to half a body does not count
                co_await send_refusal(refuse_unreadable(streamed->failure()), version);
                co_return false;
            }
        }
        keep_alive = keep_alive && !leaving_;
        co_await wire_.send(std::move(*answer), version, keep_alive, head);
        co_return keep_alive && !leaving_;
    }

    // Waits for the first bytes of a request. Newcomers have less time for it than clients that
    // have shown a key.
    asio::awaitable<void> await_request(boost::system::error_code& failure) {
        if (wire_.ahead().size() > 0) co_return;
        idle_ = true;
        wire_.expires_after(std::exchange(new_, false) ? times().exchange : times().idle);
        co_await wire_.read_ahead(4'096, failure);
        idle_ = false;
    }

    // Reads a body into memory that is reserved for it. Returns the refusal if it is too large, or
    // there is no room.
    asio::awaitable<std::optional<http_response>> read_body(http_request& request,
                                                            http_stream::header_parser&& header,
                                                            body_budget::share& room,
                                                            boost::system::error_code& failure) {
        const std::uint64_t most = std::min(largest_body(request.to), memory_->most());
        if (request.declared.value_or(0) > most) {
            co_return refuse_unreadable(http::error::body_limit, most);
        }
        std::string busy;
        try {
            room = co_await memory_->reserve(request.declared.value_or(most),
                                             std::chrono::steady_clock::now() + times().room);
        } catch (const error& full) {
            if (full.code() != errc::server_busy) throw;
            busy = full.what();
        }
        if (!busy.empty()) {
            http_response refused = api_error(503, busy, "unavailable");
            refused.headers.emplace_back("Retry-After", "1");
            co_return refused;
        }
        std::string body = co_await wire_.read_whole(std::move(header), most, failure);
        if (failure) co_return refuse_unreadable(failure, most);
        request.body = std::move(body);
        room.shrink(request.body.size());
        co_return std::nullopt;
    }

    template <class Message>
    http_request take(const Message& message) {
        http_request request;
        request.method = message.method_string();
        request.target = message.target();
        request.to = find_route(request.method, request.target);
        request.host = message[http::field::host];
        if (request.host.empty()) request.host = here_;
        request.authorization = message[http::field::authorization];
        request.content_type = message[http::field::content_type];
        request.range = message[http::field::range];
        request.if_range = message[http::field::if_range];
        request.peer = peer_;
        request.begun = std::chrono::steady_clock::now();
        return request;
    }

    asio::awaitable<std::optional<http_response>> admit(http_request& request) {
        try {
            co_return co_await service_->admit(request);
        } catch (const std::exception&) {
            // The service answers failures itself and logs them: here even that has failed.
        }
        co_return api_error(500, "the server failed", "internal");
    }

    asio::awaitable<http_response> answer_to(http_request request) {
        std::string why;
        try {
            co_return co_await service_->answer(std::move(request));
        } catch (const std::exception& failure) {
            why = failure.what();
        }
        co_return api_error(500, "the server failed: " + why);
    }

    // Answers a request, or cancels it and returns nothing if the client goes meanwhile.
    asio::awaitable<std::optional<http_response>> answer_watched(http_request request,
                                                                 bool may_read) {
        const asio::any_io_executor here = executor();
        auto watch = watch_client(may_read, request.gone);
        auto both = asio::experimental::make_parallel_group(
            beside(here, answer_to(std::move(request))), beside(here, std::move(watch)));
        auto [order, failure, answer, watch_failure, has_left] =
            co_await both.async_wait(asio::experimental::wait_for_one(), use_awaitable);
        if (order[0] == 1 && !watch_failure && has_left) co_return std::nullopt;
        if (failure) std::rethrow_exception(failure);
        co_return std::move(answer);
    }

    asio::awaitable<bool> watch_client(bool may_read, std::shared_ptr<bool> gone) {
        *gone = co_await client_leaves(wire_.socket(), wire_.ahead(),
                                       may_read ? http_bounds::header : 0);
        co_return *gone;
    }

    asio::awaitable<void> send_refusal(std::optional<http_response> refused, unsigned version) {
        if (refused) co_await wire_.send(std::move(*refused), version, false, false);
    }

    const std::shared_ptr<const http_service> service_;
    const std::shared_ptr<body_budget> memory_;
    const std::string peer_;
    const std::string here_;  // the address that was reached, for clients that name none
    http_stream wire_;
    std::chrono::milliseconds farewell_ = usual_farewell;
    bool new_ = true;       // it has sent no request yet
    bool idle_ = false;     // between two requests
    bool leaving_ = false;  // the server is closing
};

}  // namespace

bool serves_gone(api_call call) noexcept {
    return call != api_call::query && call != api_call::wake && call != api_call::start_import;
}

std::shared_ptr<tcp_server> make_http_server(asio::any_io_executor executor,
                                             asio::ssl::context& tls,
                                             std::shared_ptr<const http_service> service,
                                             std::shared_ptr<body_budget> memory,
                                             http_times times) {
    return std::make_shared<tcp_server>(
        executor, [&tls, service, memory, times](tcp::socket socket) {
            return std::make_shared<http_session>(std::move(socket), tls, service, memory, times);
        });
}

}  // namespace bitdotio
