// Many rows by libpq: a row at a time, and COPY both ways.
#include "libpq_rows.hpp"

#include <sys/epoll.h>

#include <unistd.h>

namespace bench {

namespace {

struct entry {
    int id;
    std::string label;
    double amount;
};

}  // namespace

std::uint64_t stream_rows(channel& one) {
    std::uint64_t sum = 0;
    if (!PQsendQueryParams(one.connection, select_entries, 0, nullptr, nullptr, nullptr, nullptr,
                           1) ||
        !PQsetSingleRowMode(one.connection)) {
        die(one.connection, "sending");
    }
    flush(one.connection);
    const int poll = epoll_create1(0);
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_ctl(poll, EPOLL_CTL_ADD, PQsocket(one.connection), &event);
    for (;;) {
        while (PQisBusy(one.connection)) {
            epoll_wait(poll, &event, 1, -1);
            if (!PQconsumeInput(one.connection)) die(one.connection, "reading");
        }
        PGresult* row = PQgetResult(one.connection);
        if (!row) break;
        if (PQresultStatus(row) == PGRES_SINGLE_TUPLE) {
            const entry got{int4_of(PQgetvalue(row, 0, 0)),
                            std::string(PQgetvalue(row, 0, 1),
                                        static_cast<std::size_t>(PQgetlength(row, 0, 1))),
                            double_of(PQgetvalue(row, 0, 2))};
            sum += weight(got.id, got.label.size(), got.amount);
        }
        PQclear(row);
    }
    ::close(poll);
    return sum;
}

std::uint64_t copy_rows_out(channel& one) {
    PQsetnonblocking(one.connection, 0);
    PQclear(PQexec(one.connection, copy_entries));
    std::uint64_t sum = 0;
    char* data = nullptr;
    bool header = true;
    for (int size; (size = PQgetCopyData(one.connection, &data, 0)) > 0; PQfreemem(data)) {
        const char* at = data;
        if (header) at += 19;
        header = false;
        if (at == data + size) continue;
        const auto columns = static_cast<std::int16_t>(static_cast<unsigned char>(at[0]) << 8 |
                                                       static_cast<unsigned char>(at[1]));
        if (columns != 3) continue;
        at += 2;
        entry got{};
        got.id = int4_of(at + 4);
        at += 8;
        const int length = int4_of(at);
        got.label.assign(at + 4, static_cast<std::size_t>(length));
        at += 4 + length;
        got.amount = double_of(at + 4);
        sum += weight(got.id, got.label.size(), got.amount);
    }
    PQclear(PQgetResult(one.connection));
    return sum;
}

std::uint64_t copy_rows_in(channel& one) {
    PQsetnonblocking(one.connection, 0);
    PQclear(PQexec(one.connection, "DROP TABLE IF EXISTS sink"));
    PQclear(PQexec(one.connection, make_sink));
    PQclear(PQexec(one.connection, copy_sink));
    std::string rows("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
    const auto put4 = [&](std::uint32_t value) {
        value = htonl(value);
        rows.append(reinterpret_cast<const char*>(&value), 4);
    };
    for (int id = 1; id <= entries; ++id) {
        const std::string label = label_of(id);
        rows.append("\0\3", 2);
        put4(4);
        put4(static_cast<std::uint32_t>(id));
        put4(static_cast<std::uint32_t>(label.size()));
        rows += label;
        put4(8);
        const double amount = id * 0.5;
        std::uint64_t bits;
        std::memcpy(&bits, &amount, sizeof bits);
        bits = htobe64(bits);
        rows.append(reinterpret_cast<const char*>(&bits), 8);
        if (rows.size() >= 65'536) {
            PQputCopyData(one.connection, rows.data(), static_cast<int>(rows.size()));
            rows.clear();
        }
    }
    rows.append("\377\377", 2);
    PQputCopyData(one.connection, rows.data(), static_cast<int>(rows.size()));
    PQputCopyEnd(one.connection, nullptr);
    PQclear(PQgetResult(one.connection));
    PQclear(PQgetResult(one.connection));
    PGresult* sum = PQexec(one.connection, sum_sink);
    const std::uint64_t value = std::strtoull(PQgetvalue(sum, 0, 0), nullptr, 10);
    PQclear(sum);
    return value;
}

}  // namespace bench
