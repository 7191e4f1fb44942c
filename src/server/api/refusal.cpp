// Maps errors to status codes.
#include "server/api/refusal.hpp"

#include <bitdotio/error.hpp>

#include "server/api/api_error.hpp"
#include "server/api/router.hpp"
#include "server/base/disk_space.hpp"
#include "server/base/event_log.hpp"
#include "server/catalog/rate_limiter.hpp"
#include "service/json_fields.hpp"

#include <chrono>

namespace bitdotio {

namespace {

// PostgreSQL's message as psql shows it, each part on one line.
std::string sql_message(const error& failure) {
    const server_message& said = failure.server();
    if (said.message.empty()) return failure.what();
    std::string text = said.severity + ":  " + said.sqlstate + ": " + said.message;
    if (said.position > 0) text += "\nPOSITION:  " + std::to_string(said.position);
    if (!said.detail.empty()) text += "\nDETAIL:  " + said.detail;
    if (!said.hint.empty()) text += "\nHINT:  " + said.hint;
    return text;
}

http_response refusal(const too_often& failure) {
    http_response refused = api_error(429, failure.what(), "rate_limited");
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(failure.wait()).count();
    refused.headers.emplace_back("Retry-After", std::to_string(seconds));
    return refused;
}

http_response refusal(const error& failure) {
    if (failure.code() == errc::timeout) return api_error(504, failure.what(), "timeout");
    if (failure.code() == errc::result_too_large) {
        return api_error(400, failure.what(), "result_too_large",
                         "Use LIMIT, an export, or the Postgres endpoint.");
    }
    if (!failure.sqlstate().empty()) {
        // These are the instance's trouble; everything else is the statement's.
        const bool ours = failure.code() == errc::server_busy ||
                          failure.code() == errc::database_asleep ||
                          failure.code() == errc::connection_lost;
        return api_error(ours ? 503 : 400, sql_message(failure), failure.sqlstate());
    }
    switch (failure.code()) {
        case errc::bad_input: return api_error(400, failure.what(), "bad_input");
        case errc::authentication_failed: return unauthorized(failure.what());
        case errc::permission_denied: return api_error(403, failure.what(), "permission_denied");
        case errc::not_found: return api_error(404, failure.what(), "not_found");
        case errc::conflict: return api_error(409, failure.what(), "conflict");
        case errc::query_failed: return api_error(400, failure.what(), "query_failed");
        case errc::database_asleep:
        case errc::connection_lost:
        case errc::connect_failed:
        case errc::server_busy: return api_error(503, failure.what(), "unavailable");
        case errc::commit_outcome_unknown: return api_error(500, failure.what(), "outcome_unknown");
        default: return api_error(500, failure.what(), "internal");
    }
}

}  // namespace

bool is_internal(const error& failure) {
    switch (failure.code()) {
        case errc::bad_input:
        case errc::authentication_failed:
        case errc::permission_denied:
        case errc::not_found:
        case errc::conflict:
        case errc::query_failed:
        case errc::timeout:
        case errc::result_too_large:
        case errc::rate_limited:
        case errc::commit_outcome_unknown: return false;
        case errc::database_asleep:
        case errc::connection_lost:
        case errc::connect_failed:
        case errc::server_busy:
            return failure.server().message.empty() && name_a_file(failure.what());
        default: return failure.server().message.empty();
    }
}

http_response refusal_of(const std::exception_ptr& thrown) {
    try {
        std::rethrow_exception(thrown);
    } catch (const api::malformed_body& failure) {
        return unprocessable(failure.field(), failure.what(), "value_error");
    } catch (const malformed_path& failure) {
        return unprocessable(failure.part(), failure.what(), "value_error", "path");
    } catch (const too_often& failure) {
        return refusal(failure);
    } catch (const no_room& failure) {
        return api_error(507, failure.what(), "no_room");
    } catch (const error& failure) {
        if (is_internal(failure)) throw;
        return refusal(failure);
    }
}

}  // namespace bitdotio
