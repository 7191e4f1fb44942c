// libpq's words, as our types.
#include "libpq.hpp"

#include <algorithm>
#include <charconv>

namespace bitdotio::libpq {

namespace {

std::string field(const PGresult* answer, int code) {
    const char* text = PQresultErrorField(answer, code);
    return text ? text : "";
}

}  // namespace

server_message message_of(const PGresult* answer) {
    server_message message;
    // The non-localised severity came with PostgreSQL 9.6; poolers may speak for older ones.
    message.severity = field(answer, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (message.severity.empty()) {
        message.severity = field(answer, PG_DIAG_SEVERITY);
    }
    message.sqlstate = field(answer, PG_DIAG_SQLSTATE);
    message.message = field(answer, PG_DIAG_MESSAGE_PRIMARY);
    message.detail = field(answer, PG_DIAG_MESSAGE_DETAIL);
    message.hint = field(answer, PG_DIAG_MESSAGE_HINT);
    message.context = field(answer, PG_DIAG_CONTEXT);
    message.schema = field(answer, PG_DIAG_SCHEMA_NAME);
    message.table = field(answer, PG_DIAG_TABLE_NAME);
    message.column = field(answer, PG_DIAG_COLUMN_NAME);
    message.data_type = field(answer, PG_DIAG_DATATYPE_NAME);
    message.constraint = field(answer, PG_DIAG_CONSTRAINT_NAME);
    message.routine = field(answer, PG_DIAG_SOURCE_FUNCTION);
    const std::string position = field(answer, PG_DIAG_STATEMENT_POSITION);
    std::from_chars(position.data(), position.data() + position.size(), message.position);
    return message;
}

std::string last_words(const PGconn* conn) {
    std::string text = conn ? PQerrorMessage(conn) : "out of memory";
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
        text.pop_back();
    }
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

std::string sqlstate_in(std::string_view text) {
    // "FATAL:  28P01: password…": the severity word is localised, the code is not.
    const auto is_code = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); };
    for (std::size_t colon = text.find(": "); colon != std::string_view::npos;
         colon = text.find(": ", colon + 1)) {
        const std::size_t begin = text.find_first_not_of(' ', colon + 1);
        if (begin == std::string_view::npos || begin + 5 >= text.size() || text[begin + 5] != ':') {
            continue;
        }
        const std::string_view code = text.substr(begin, 5);
        // FATAL and PANIC have five capitals too, but every code has a digit.
        if (std::all_of(code.begin(), code.end(), is_code) &&
            code.find_first_of("0123456789") != std::string_view::npos) {
            return std::string(code);
        }
    }
    return {};
}

}  // namespace bitdotio::libpq
