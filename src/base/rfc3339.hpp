// Points in time as RFC 3339 writes them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace bitdotio::api {

using instant = std::chrono::sys_time<std::chrono::microseconds>;

/// The time in UTC with microseconds: "2024-05-06T07:08:09.123456+00:00".
std::string encode_time(instant value);

/// Reads any offset; drops digits after microseconds. Nothing if `text` is not a date and time.
///
/// See: RFC 3339, 5.6 "Internet Date/Time Format".
std::optional<instant> decode_time(std::string_view text);

/// The date in UTC, without the time: "2024-05-06".
std::string encode_date(instant value);

/// A date alone, such as "2024-05-06". Nothing if `text` is not a date.
std::optional<std::chrono::sys_days> decode_date(std::string_view text);

}  // namespace bitdotio::api
