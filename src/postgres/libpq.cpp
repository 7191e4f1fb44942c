// libpq's words, as our types.
#include "postgres/libpq.hpp"

#include "base/ascii.hpp"

#include <openssl/ssl.h>

#include <algorithm>
#include <charconv>
#include <new>

namespace bitdotio::libpq {

namespace {

std::string field(const PGresult* answer, int code) {
    const char* text = PQresultErrorField(answer, code);
    return text ? text : "";
}

}  // namespace

untranslated::untranslated() noexcept : locale_(newlocale(LC_ALL_MASK, "C", nullptr)) {
    if (locale_) {
        before_ = uselocale(locale_);
    }
}

untranslated::~untranslated() {
    if (locale_) {
        uselocale(before_);
        freelocale(locale_);
    }
}

bool holds_unread(PGconn* conn) noexcept {
    const SSL* const session = static_cast<SSL*>(PQsslStruct(conn, "OpenSSL"));
    return session && SSL_pending(session) > 0;
}

bool take_in(PGconn* conn) {
    // Packets of GSSAPI have up to 16 kB, libpq's buffer has room for at least 8, and nobody can be
    // asked for the rest.
    if (PQgssEncInUse(conn) && !PQconsumeInput(conn)) {
        return false;
    }
    do {
        if (!PQconsumeInput(conn)) {
            return false;
        }
    } while (holds_unread(conn));
    return true;
}

server_message message_of(const PGresult* answer) {
    server_message message;
    // The non-localised severity came with PostgreSQL 9.6; poolers may speak for older ones.
    message.severity = field(answer, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (message.severity.empty()) {
        message.severity = field(answer, PG_DIAG_SEVERITY);
    }
    message.sqlstate = field(answer, PG_DIAG_SQLSTATE);
    message.message = field(answer, PG_DIAG_MESSAGE_PRIMARY);
    if (message.message.empty() && message.sqlstate.empty()) {
        // libpq's own, such as out of memory: not the server's, but an error nevertheless.
        message.message = without_socket(PQresultErrorMessage(answer));
    }
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
    std::string text = conn ? without_socket(PQerrorMessage(conn)) : "out of memory";
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
        text.pop_back();
    }
    std::erase(text, '\t');  // at the start of a line
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

std::string without_socket(std::string_view text) {
    constexpr std::string_view noise = "invalid socket\n";
    if (!text.ends_with(noise)) {
        return std::string(text);
    }
    text.remove_suffix(noise.size());
    std::string told;
    for (std::size_t end = 0; (end = text.find('\n')) != std::string_view::npos;) {
        const std::string_view line = text.substr(0, end + 1);
        if (told.find(line) == std::string::npos) {
            told += line;
        }
        text.remove_prefix(line.size());
    }
    // TLS ends by a message of its own, which the server has sent.
    const bool is_bare = told.empty() || told == "SSL connection has been closed unexpectedly\n";
    return is_bare ? "server closed the connection unexpectedly" : told;
}

std::string sqlstate_in(std::string_view text) {
    // "FATAL:  28P01: password…": the severity word is localised, the code is not.
    const auto is_code = [](char c) { return ascii::is_digit(c) || (c >= 'A' && c <= 'Z'); };
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

namespace {

void copy_rows(PGresult* to, const PGresult* from, int first, int count) {
    const int begin = PQntuples(to);
    for (int row = 0; row < count; ++row) {
        for (int column = 0; column < PQnfields(from); ++column) {
            const bool null = PQgetisnull(from, first + row, column) != 0;
            char* const value = null ? nullptr : PQgetvalue(from, first + row, column);
            const int size = null ? -1 : PQgetlength(from, first + row, column);
            if (!PQsetvalue(to, begin + row, column, value, size)) {
                throw std::bad_alloc();
            }
        }
    }
}

}  // namespace

result rows_of(const PGresult* answer, int first, int count) {
    result copy(PQcopyResult(answer, PG_COPYRES_ATTRS));
    if (!copy) {
        throw std::bad_alloc();
    }
    copy_rows(copy.get(), answer, first, count);
    return copy;
}

void append_rows(PGresult* to, const PGresult* from) {
    copy_rows(to, from, 0, PQntuples(from));
}

bool send_forget(PGconn* conn, const std::string& name) {
#ifdef LIBPQ_HAS_CLOSE_PREPARED
    return PQsendClosePrepared(conn, name.c_str()) != 0;
#else
    const std::string deallocate = "DEALLOCATE " + name;
    return PQsendQueryParams(conn, deallocate.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) !=
           0;
#endif
}

server_message refusal_in(std::string_view text) {
    server_message message;
    message.sqlstate = sqlstate_in(text);
    if (message.sqlstate.empty()) {
        return message;
    }
    const std::size_t code = text.find(message.sqlstate + ":");
    const std::size_t severity_end = text.find_last_not_of(": ", code == 0 ? 0 : code - 1);
    const std::size_t severity = text.find_last_of(' ', severity_end) + 1;
    message.severity = text.substr(severity, severity_end + 1 - severity);
    // Each field ends where another begins: "LOCATION:  function, file:line" is always there.
    constexpr std::string_view labels[] = {" DETAIL:  ", " HINT:  ", " CONTEXT:  ", " LOCATION:  "};
    const auto field_after = [&](std::size_t begin) {
        std::size_t end = text.size();
        for (const std::string_view label : labels) {
            end = std::min(end, text.find(label, begin));
        }
        return std::string(text.substr(begin, end - begin));
    };
    const auto labelled = [&](std::string_view label) {
        const std::size_t found = text.find(label, code);
        return found == std::string_view::npos ? "" : field_after(found + label.size());
    };
    const std::size_t words = text.find_first_not_of(": ", code + message.sqlstate.size());
    message.message = words == std::string_view::npos ? "" : field_after(words);
    message.detail = labelled(labels[0]);
    message.hint = labelled(labels[1]);
    return message;
}

}  // namespace bitdotio::libpq
