// Maps errors to the kinds of failure that docs/imports-and-exports.md lists.
#include "server/formats/job_failure.hpp"

namespace bitdotio {

std::string kind_of(const error& failure) {
    if (const auto* own = dynamic_cast<const job_failure*>(&failure)) return own->type();
    if (!failure.sqlstate().empty()) return "database_error";
    switch (failure.code()) {
        case errc::bad_input: return "invalid_file";
        case errc::cancelled: return "interrupted";
        case errc::not_found: return "not_found";
        case errc::connection_lost:
        case errc::database_asleep:
        case errc::server_busy:
        case errc::connect_failed: return "unavailable";
        case errc::commit_outcome_unknown: return "outcome_unknown";
        default: return "internal";
    }
}

std::string words_of(const error& failure) {
    const server_message& said = failure.server();
    if (said.message.empty()) return failure.what();
    std::string text = said.severity + ":  " + said.sqlstate + ": " + said.message;
    if (!said.detail.empty()) text += "\nDETAIL:  " + said.detail;
    if (!said.hint.empty()) text += "\nHINT:  " + said.hint;
    if (!said.context.empty()) text += "\nCONTEXT:  " + said.context;
    return text;
}

}  // namespace bitdotio
