// What NOTIFY sends to listeners.
#pragma once

#include <string>
#include <utility>

namespace bitdotio {

/// One notification.
///
/// Thread safety: a value.
/// See: PostgreSQL manual, NOTIFY.
struct notification {
    notification() = default;
    notification(std::string channel_, std::string payload_, int backend_pid_)
        : channel(std::move(channel_)), payload(std::move(payload_)), backend_pid(backend_pid_) {}

    std::string channel;
    std::string payload;  ///< up to 7,999 bytes, empty if NOTIFY gave none
    int backend_pid = 0;  ///< the process number of the backend that sent it

    friend bool operator==(const notification&, const notification&) = default;
};

}  // namespace bitdotio
