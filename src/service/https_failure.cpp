// Sorts what Asio, OpenSSL and Beast say by what a caller can do.
#include "service/https_failure.hpp"
#include "base/chunk_extensions.hpp"
#include "service/answer_limit.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/beast/http/error.hpp>

namespace bitdotio {

namespace asio = boost::asio;
namespace http = boost::beast::http;

error cannot_connect(const https_address& address, const boost::system::error_code& failure) {
    if (failure == asio::error::operation_aborted) {
        return error(errc::cancelled, "connecting was cancelled")
            .with(phase::connecting)
            .with(outcome::not_sent);
    }
    const bool tls = failure.category() == asio::error::get_ssl_category();
    return error(tls ? errc::tls_failed : errc::connect_failed,
                 "cannot connect to " + place_of(address) + ": " + failure.message() +
                     (tls ? "; check the host name and the CA file" : ""))
        .with(phase::connecting)
        .with(outcome::not_sent);
}

error answer_violated(const https_address& address, const std::string& why) {
    return error(errc::protocol_violated,
                 "the answer of " + place_of(address) + " cannot be taken: " + why)
        .with(phase::awaiting_reply)
        .with(outcome::unknown);
}

error answer_lost(const https_address& address, const boost::system::error_code& failure) {
    if (failure == http::error::body_limit) {
        return error(errc::result_too_large, answer_too_long(https_bounds::body))
            .with(phase::awaiting_reply)
            .with(outcome::unknown);
    }
    if (failure == http::error::header_limit) {
        return answer_violated(address, "its header is longer than " +
                                            std::to_string(https_bounds::header) + " bytes");
    }
    if (failure == http::error::buffer_overflow) {
        return answer_violated(address,
                               "the line before a chunk, or the trailers, are longer than " +
                                   std::to_string(https_bounds::buffer) + " bytes");
    }
    if (chunk_extensions::is_excess(failure)) {
        return answer_violated(address, "the extensions of its chunks are longer than " +
                                            std::to_string(chunk_extensions::most) + " bytes");
    }
    const bool cancelled = failure == asio::error::operation_aborted;
    const bool malformed =
        failure.category() == http::make_error_code(http::error::bad_version).category() &&
        failure != http::error::end_of_stream && failure != http::error::partial_message;
    const errc code = cancelled   ? errc::cancelled
                      : malformed ? errc::protocol_violated
                                  : errc::connection_lost;
    return error(code, cancelled
                           ? "the request was cancelled; whether it had an effect is unknown"
                           : "the connection to " + place_of(address) +
                                 " failed before the whole answer had come: " + failure.message())
        .with(phase::awaiting_reply)
        .with(outcome::unknown);
}

}  // namespace bitdotio
