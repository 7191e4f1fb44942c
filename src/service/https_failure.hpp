// What a failure of an HTTPS session means, and how much of an answer is taken.
#pragma once

#include <bitdotio/error.hpp>

#include "service/https_address.hpp"

#include <boost/system/error_code.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace bitdotio {

/// How much of an answer is taken that is not for a sink.
namespace https_bounds {
inline constexpr std::uint64_t body = 64u << 20;
inline constexpr std::uint32_t header = 16 * 1024;
/// What must be read whole: the line before a chunk, and all trailers.
inline constexpr std::size_t buffer = 32 * 1024;
}  // namespace https_bounds

/// The error of a session that did not open: errc::connect_failed, tls_failed or cancelled, and
/// nothing was sent.
error cannot_connect(const https_address& address, const boost::system::error_code& failure);

/// The error of an answer that does not come whole, after something may have been sent:
/// errc::connection_lost, cancelled, result_too_large, or protocol_violated for what is not HTTP or
/// exceeds the bounds.
error answer_lost(const https_address& address, const boost::system::error_code& failure);

/// The error of an answer that is not as HTTP would have it, or out of bounds.
error answer_violated(const https_address& address, const std::string& why);

}  // namespace bitdotio
