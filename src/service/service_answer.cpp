// Converts status codes and error bodies to errors.
#include "service/service_answer.hpp"
#include "base/ascii.hpp"
#include "service/api_codec.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio {

namespace {

errc code_of(int status) {
    switch (status) {
        case 401: return errc::authentication_failed;
        case 403: return errc::permission_denied;
        case 404: return errc::not_found;
        case 409: return errc::conflict;
        case 429: return errc::rate_limited;
        default: return errc::api_failed;
    }
}

bool is_sqlstate(const std::string& text) {
    return text.size() == 5 &&
           text.find_first_not_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos;
}

}  // namespace

error refused(const char* what, const https_response& response) {
    if (response.status < 400) {  // nobody follows it: the key would go elsewhere
        return error(errc::api_failed,
                     std::string("cannot ") + what + ": the service answered with HTTP " +
                         std::to_string(response.status) +
                         (response.location.empty() ? ""
                                                    : ", a redirection to " + response.location) +
                         ", which is not followed: api_url must be the service's own address")
            .with_http(response.status, response.body)
            .with(phase::replied)
            .with(outcome::not_executed);
    }
    const api::error_answer answer = api::decode_error(response.body);
    std::string text = std::string("cannot ") + what + ": ";
    text += answer.message.empty() ? "the service gave no reason" : answer.message;
    text += " (HTTP " + std::to_string(response.status) + ")";
    errc code = code_of(response.status);
    server_message message;
    if (is_sqlstate(answer.type)) {
        code = errc::query_failed;
        message.sqlstate = answer.type;
        message.message = answer.message;
    }
    const bool too_large = answer.type == "result_too_large";
    if (too_large) code = errc::result_too_large;
    // A request refused for the caller's fault was not carried out; one that failed may have been,
    // and so may one whose answer is too large.
    const bool known = response.status < 500 && !too_large;
    return error(code, std::move(text))
        .with(std::move(message))
        .with_http(response.status, response.body)
        .with(phase::replied)
        .with(known ? outcome::not_executed : outcome::unknown);
}

std::string in_path(const std::string& id, const char* of_what) {
    const auto is_plain = [](char c) { return ascii::is_word(c) || c == '-'; };
    if (id.empty() || !std::all_of(id.begin(), id.end(), is_plain)) {
        throw error(errc::bad_input,
                    std::string("the id of ") + of_what +
                        " is of letters, digits, dashes and underscores, as the service "
                        "gives it")
            .with(outcome::not_sent);
    }
    return id;
}

}  // namespace bitdotio
