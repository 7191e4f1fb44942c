// A connection of libpq, what is sent on it and how its answers are read, with nothing around it.
#pragma once

#include "contract.hpp"

#include <netinet/in.h>

#include <arpa/inet.h>
#include <endian.h>
#include <libpq-fe.h>

#include <cstring>
#include <deque>

namespace bench {

[[noreturn]] inline void die(PGconn* connection, const char* what) {
    std::fprintf(stderr, "%s: %s\n", what, PQerrorMessage(connection));
    std::exit(1);
}

inline std::int64_t int8_of(const char* data) {
    std::uint64_t value;
    std::memcpy(&value, data, sizeof value);
    return static_cast<std::int64_t>(be64toh(value));
}

inline int int4_of(const char* data) {
    std::uint32_t value;
    std::memcpy(&value, data, sizeof value);
    return static_cast<int>(ntohl(value));
}

inline double double_of(const char* data) {
    const std::int64_t bits = int8_of(data);
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline PGconn* open(const std::string& dsn) {
    PGconn* connection = PQconnectdb(dsn.c_str());
    if (PQstatus(connection) != CONNECTION_OK) die(connection, "connecting");
    PQclear(PQprepare(connection, "s", select_account, 0, nullptr));
    PQclear(PQprepare(connection, "u", update_account, 0, nullptr));
    PQclear(PQprepare(connection, "BEGIN", "BEGIN", 0, nullptr));
    PQclear(PQprepare(connection, "COMMIT", "COMMIT", 0, nullptr));
    PQsetnonblocking(connection, 1);
    return connection;
}

inline void send(PGconn* connection, const char* name, int key) {
    const std::uint32_t value = htonl(static_cast<std::uint32_t>(key));
    const char* values[]{reinterpret_cast<const char*>(&value)};
    const int lengths[]{4};
    const int formats[]{1};
    if (!PQsendQueryPrepared(connection, name, 1, values, lengths, formats, 1)) {
        die(connection, "sending");
    }
}

// BEGIN or COMMIT: by itself as a simple query, which costs least; a pipeline takes none.
inline void send_word(PGconn* connection, const char* word, bool in_pipeline) {
    const int sent = in_pipeline
                         ? PQsendQueryPrepared(connection, word, 0, nullptr, nullptr, nullptr, 1)
                         : PQsendQuery(connection, word);
    if (!sent) die(connection, "sending");
}

inline std::uint64_t read_account(const PGresult* rows) {
    const std::string name(PQgetvalue(rows, 0, 0),
                           static_cast<std::size_t>(PQgetlength(rows, 0, 0)));
    return static_cast<std::uint64_t>(int8_of(PQgetvalue(rows, 0, 1))) + name.size();
}

// A connection and what waits for its answers.
struct channel {
    PGconn* connection;
    std::deque<clock::time_point> sent;
    keys key;
    int step = 0;
};

inline void flush(PGconn* connection) {
    // On loopback the kernel takes what a burst holds; a full buffer is waited out.
    while (PQflush(connection) == 1) {
        if (!PQconsumeInput(connection)) die(connection, "reading");
    }
}

}  // namespace bench
