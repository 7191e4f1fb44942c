// The only include of libpq: owning handles, and its words as an error.
#pragma once

#include <bitdotio/error.hpp>

#include <libpq-fe.h>

#include <clocale>
#include <memory>
#include <string>
#include <string_view>

namespace bitdotio::libpq {

struct finish {
    void operator()(PGconn* value) const noexcept { PQfinish(value); }
};
struct clear {
    void operator()(PGresult* value) const noexcept { PQclear(value); }
};
struct free_cancel {
    void operator()(PGcancel* value) const noexcept { PQfreeCancel(value); }
};

using connection = std::unique_ptr<PGconn, finish>;
using result = std::unique_ptr<PGresult, clear>;
using cancel = std::unique_ptr<PGcancel, free_cancel>;

/// For the length of a scope, libpq's words on this thread are those of its sources. It gives the
/// failures of its own side (TLS verification among them) no code, only text, which it translates.
class untranslated {
public:
    untranslated() noexcept;
    ~untranslated();
    untranslated(const untranslated&) = delete;
    untranslated& operator=(const untranslated&) = delete;

private:
    locale_t locale_;
    locale_t before_ = nullptr;
};

/// The server's fields of an error or a notice.
server_message message_of(const PGresult* answer);

/// What libpq says last about the connection, on one line.
std::string last_words(const PGconn* conn);

/// The SQLSTATE in the text of a failed connect, which libpq keeps nowhere else; empty if there is
/// none. Needs PQsetErrorVerbosity(conn, PQERRORS_VERBOSE) while connecting.
std::string sqlstate_in(std::string_view text);

/// The server's fields in the same text, as far as they are there; all empty if it has no SQLSTATE.
server_message refusal_in(std::string_view text);

}  // namespace bitdotio::libpq
