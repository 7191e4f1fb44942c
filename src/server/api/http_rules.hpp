// The bounds of requests, what is refused by its header, and an answer's own: pure rules.
#pragma once

#include "base/chunk_extensions.hpp"
#include "server/api/api_error.hpp"
#include "server/api/http_listener.hpp"

#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

namespace bitdotio {

/// The bounds of one request. None of them can be lifted by a request.
struct http_bounds {
    static constexpr std::uint32_t header = 16 * 1024;
    static constexpr std::size_t fields = 100;
    /// What is read ahead of a connection; so nothing that must be read whole, as the line before a
    /// chunk or all trailers, is longer.
    static constexpr std::size_t buffer = 32 * 1024;
    /// A body that comes with a key, and one that comes without.
    static constexpr std::uint64_t body = 8 * 1024 * 1024;
    static constexpr std::uint64_t body_of_anyone = 1'024;
};

/// The most bytes of a body that is kept in memory.
inline std::uint64_t largest_body(const route& to) noexcept {
    return to.who == audience::anyone ? http_bounds::body_of_anyone : http_bounds::body;
}

/// The answer to a request that cannot be read; nothing if nobody asked or listens.
///
/// Parameters: `most` bytes of its body were allowed.
inline std::optional<http_response> refuse_unreadable(const boost::system::error_code& failure,
                                                      std::uint64_t most = http_bounds::body) {
    namespace http = boost::beast::http;
    if (failure == http::error::header_limit) {
        return api_error(
            431, "the header is longer than " + std::to_string(http_bounds::header) + " bytes");
    }
    if (failure == http::error::body_limit) {
        return api_error(413, "the body is longer than " + std::to_string(most) + " bytes");
    }
    if (failure == http::error::buffer_overflow) {
        return api_error(400,
                         "not an HTTP/1.1 request: the line before a chunk, or the trailers, are "
                         "longer than " +
                             std::to_string(http_bounds::buffer) + " bytes");
    }
    if (chunk_extensions::is_excess(failure)) {
        return api_error(400,
                         "not an HTTP/1.1 request: the extensions of its chunks are longer "
                         "than " +
                             std::to_string(chunk_extensions::most) + " bytes");
    }
    if (failure == http::error::end_of_stream || failure == http::error::partial_message) {
        return std::nullopt;
    }
    if (failure.category() == http::make_error_code(http::error::bad_method).category()) {
        return api_error(400, "not an HTTP/1.1 request: " + failure.message());
    }
    return std::nullopt;
}

/// A host and perhaps a port, as far as the bytes show: we repeat it in addresses.
inline bool is_host(std::string_view text) {
    return text.find_first_not_of(
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%:[]") ==
           std::string_view::npos;
}

/// Refuses ambiguous requests, such as a body in an unknown coding: nobody can tell where it ends
/// and the next request begins.
template <class Message>
std::optional<http_response> refuse_header(const Message& message) {
    namespace http = boost::beast::http;
    if (std::distance(message.begin(), message.end()) >
        static_cast<std::ptrdiff_t>(http_bounds::fields)) {
        return api_error(
            431, "the header has more than " + std::to_string(http_bounds::fields) + " fields");
    }
    const std::size_t hosts = message.count(http::field::host);
    if (hosts > 1 || (hosts == 0 && message.version() >= 11) ||
        !is_host(message[http::field::host])) {
        return api_error(400, "not an HTTP/1.1 request: it must have one header Host");
    }
    const auto coding = message.find(http::field::transfer_encoding);
    if (coding == message.end()) return std::nullopt;
    if (message.version() < 11) {
        return api_error(400, "not an HTTP/1.1 request: a transfer coding in HTTP/1.0");
    }
    if (message.count(http::field::transfer_encoding) == 1 &&
        boost::beast::iequals(coding->value(), "chunked")) {
        return std::nullopt;
    }
    return api_error(501, "the only transfer coding this server knows is chunked");
}

/// The header of an answer, with its length.
///
/// Parameters: `version` is that of the request, 11 or 10.
/// Errors: errc::system_failed if a value has a line break, behind which others would begin.
std::string encode_header(const http_response& answer, unsigned version, bool keep_alive);

}  // namespace bitdotio
