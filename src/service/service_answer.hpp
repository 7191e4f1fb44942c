// Answers of the service: values, or errors chosen by what the caller should do.
#pragma once

#include <bitdotio/error.hpp>

#include "service/https_session.hpp"
#include "service/json_fields.hpp"

#include <string>

namespace bitdotio {

/// Whether the call was carried out.
inline bool is_success(const https_response& response) noexcept {
    return response.status >= 200 && response.status < 300;
}

/// The error of an answer that is no success. Redirections are errors too.
///
/// Parameters: `what` says what could not be done.
error refused(const char* what, const https_response& response);

/// An id as part of a path, checked, because other characters would lead elsewhere.
///
/// Errors: errc::bad_input, naming with `of_what` whose id it is.
std::string in_path(const std::string& id, const char* of_what);

/// Reads a body with `decode`. An unreadable body is the fault of the service.
///
/// Errors: errc::protocol_violated.
template <class Decode>
auto decoded(const std::string& body, Decode decode) {
    try {
        return decode(body);
    } catch (const api::malformed_body& failure) {
        throw error(errc::protocol_violated,
                    std::string("the service's answer is malformed: ") + failure.what())
            .with(phase::replied)
            .with(outcome::executed);
    }
}

}  // namespace bitdotio
