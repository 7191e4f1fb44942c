// The only include of libpq: owning handles, its words as an error, what its versions differ in.
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
struct finish_cancel {
    void operator()(PGcancel* value) const noexcept { PQfreeCancel(value); }
#ifdef LIBPQ_HAS_ASYNC_CANCEL
    void operator()(PGcancelConn* value) const noexcept {
        PQcancelFinish(value);
    }
#endif
};

using connection = std::unique_ptr<PGconn, finish>;
using result = std::unique_ptr<PGresult, clear>;

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
/// libpq's text without "invalid socket", which it adds if it is asked for an answer after it has
/// closed the socket. Over TLS it has told the end of the connection twice by then; here it does
/// once.
std::string without_socket(std::string_view text);

/// The SQLSTATE in the text of a failed connect, which libpq keeps nowhere else; empty if there is
/// none. Needs PQsetErrorVerbosity(conn, PQERRORS_VERBOSE) while connecting.
std::string sqlstate_in(std::string_view text);

/// The server's fields in the same text, as far as they are there; all empty if it has no SQLSTATE.
server_message refusal_in(std::string_view text);

/// A copy of `count` rows.
result rows_of(const PGresult* answer, int first, int count);
/// Copies all rows of `from` behind those of `to`, which has the same columns.
void append_rows(PGresult* to, const PGresult* from);

/// Whether OpenSSL holds bytes of the connection that it has decrypted and libpq not taken yet.
bool holds_unread(PGconn* conn) noexcept;

/// Takes in what has come, and all that OpenSSL has decrypted of it; never waits. False if the
/// connection is broken, or cannot go on because memory is short.
bool take_in(PGconn* conn);

inline PostgresPollingStatusType poll(PGconn* conn) {
    return PQconnectPoll(conn);
}

// ---- What newer versions have, and what stands in for it. Version 14 is the oldest.

#ifdef LIBPQ_HAS_ASYNC_CANCEL
using cancel = std::unique_ptr<PGcancelConn, finish_cancel>;

inline PostgresPollingStatusType poll(PGcancelConn* request) {
    return PQcancelPoll(request);
}
#endif

/// The rows of the statement just sent shall come in pieces of so many, or single before version
/// 17. It is not too late before the first look at an answer.
inline void ask_for_pieces(PGconn* conn, [[maybe_unused]] int rows) {
#ifdef LIBPQ_HAS_CHUNK_MODE
    PQsetChunkedRowsMode(conn, rows);
#else
    PQsetSingleRowMode(conn);
#endif
}

/// Forgets that rows were asked for in pieces. Outside of a pipeline each statement that is sent
/// does so, but the first one within a pipeline does not: its rows would come in pieces that nobody
/// asked for. A statement that is refused before anything is sent does it without one.
inline void forget_pieces(PGconn* conn) noexcept {
    PQsendQueryParams(conn, nullptr, 0, nullptr, nullptr, nullptr, nullptr, 0);
}

/// Whether an answer is a piece, after which more is to come.
inline bool is_piece(ExecStatusType status) {
#ifdef LIBPQ_HAS_CHUNK_MODE
    if (status == PGRES_TUPLES_CHUNK) {
        return true;
    }
#endif
    return status == PGRES_SINGLE_TUPLE;
}

/// Ends a unit of a pipeline; it may have to be flushed. Before version 17 each costs a system
/// call.
inline bool send_sync(PGconn* conn) {
#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC
    return PQsendPipelineSync(conn) != 0;
#else
    return PQpipelineSync(conn) != 0;
#endif
}

/// In a pipeline: the server may forget a prepared statement. Before version 17 that is a statement
/// itself, which fails if there is none of that name.
bool send_forget(PGconn* conn, const std::string& name);

}  // namespace bitdotio::libpq
