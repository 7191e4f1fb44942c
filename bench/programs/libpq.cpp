// The limit: loops on libpq and epoll without anything around them.
#include "contract.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

#include <arpa/inet.h>
#include <endian.h>
#include <libpq-fe.h>

#include <cstring>
#include <deque>
#include <memory>

using namespace bench;

namespace {

[[noreturn]] void die(PGconn* connection, const char* what) {
    std::fprintf(stderr, "%s: %s\n", what, PQerrorMessage(connection));
    std::exit(1);
}

std::int64_t int8_of(const char* data) {
    std::uint64_t value;
    std::memcpy(&value, data, sizeof value);
    return static_cast<std::int64_t>(be64toh(value));
}

int int4_of(const char* data) {
    std::uint32_t value;
    std::memcpy(&value, data, sizeof value);
    return static_cast<int>(ntohl(value));
}

double double_of(const char* data) {
    const std::int64_t bits = int8_of(data);
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

PGconn* open(const std::string& dsn) {
    PGconn* connection = PQconnectdb(dsn.c_str());
    if (PQstatus(connection) != CONNECTION_OK) die(connection, "connecting");
    PQclear(PQprepare(connection, "s", select_account, 0, nullptr));
    PQclear(PQprepare(connection, "u", update_account, 0, nullptr));
    PQsetnonblocking(connection, 1);
    return connection;
}

void send(PGconn* connection, const char* name, int key) {
    const std::uint32_t value = htonl(static_cast<std::uint32_t>(key));
    const char* values[]{reinterpret_cast<const char*>(&value)};
    const int lengths[]{4};
    const int formats[]{1};
    if (!PQsendQueryPrepared(connection, name, 1, values, lengths, formats, 1)) {
        die(connection, "sending");
    }
}

void send_word(PGconn* connection, const char* word) {
    if (!PQsendQueryParams(connection, word, 0, nullptr, nullptr, nullptr, nullptr, 1)) {
        die(connection, "sending");
    }
}

std::uint64_t read_account(const PGresult* rows) {
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

// Calls on(channel) whenever a channel is readable, and flushes those that could not send all.
template <class On>
void loop(std::vector<channel>& channels, On on) {
    const int poll = epoll_create1(0);
    for (channel& one : channels) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = &one;
        epoll_ctl(poll, EPOLL_CTL_ADD, PQsocket(one.connection), &event);
    }
    epoll_event events[64];
    for (;;) {
        const int ready = epoll_wait(poll, events, 64, -1);
        for (int i = 0; i < ready; ++i) {
            channel& one = *static_cast<channel*>(events[i].data.ptr);
            if (!PQconsumeInput(one.connection)) die(one.connection, "reading");
            if (!on(one)) return;
        }
    }
}

void flush(PGconn* connection) {
    // On loopback the kernel takes what a burst holds; a full buffer is waited out.
    while (PQflush(connection) == 1) {
        if (!PQconsumeInput(connection)) die(connection, "reading");
    }
}

// Tasks take turns on connections, one statement each at a time.
void selects(const request& asked, std::vector<channel>& channels, measure& total) {
    const auto until = clock::now() + asked.seconds;
    // Those who have no connection wait since then.
    std::deque<clock::time_point> waiting(
        asked.tasks > channels.size() ? asked.tasks - channels.size() : 0, clock::now());
    std::size_t running = channels.size();
    for (channel& one : channels) {
        one.sent.push_back(clock::now());
        send(one.connection, "s", one.key.next());
        flush(one.connection);
    }
    loop(channels, [&](channel& one) {
        while (!PQisBusy(one.connection)) {
            PGresult* rows = PQgetResult(one.connection);
            if (rows) {
                if (read_account(rows) == 0) total.failed();
                PQclear(rows);
                continue;
            }
            const auto now = clock::now();
            total.took(one.sent.front(), now);
            one.sent.pop_front();
            waiting.push_back(now);
            if (now >= until) return --running != 0;
            one.sent.push_back(waiting.front());
            waiting.pop_front();
            send(one.connection, "s", one.key.next());
            flush(one.connection);
        }
        return true;
    });
}

void cork(PGconn* connection, int on) {
    setsockopt(PQsocket(connection), IPPROTO_TCP, TCP_CORK, &on, sizeof on);
}

// Each connection has its share of the statements in flight, a Sync after each, and what came free
// together is sent together.
void multiplexed(const request& asked, std::vector<channel>& channels, measure& total) {
    const auto until = clock::now() + asked.seconds;
    const std::size_t each = asked.tasks / channels.size();
    std::size_t running = channels.size();
    const auto burst = [&](channel& one, std::size_t count) {
        cork(one.connection, 1);
        for (std::size_t i = 0; i < count; ++i) {
            one.sent.push_back(clock::now());
            send(one.connection, "s", one.key.next());
            PQpipelineSync(one.connection);
        }
        flush(one.connection);
        cork(one.connection, 0);
    };
    for (channel& one : channels) {
        PQenterPipelineMode(one.connection);
        burst(one, each);
    }
    loop(channels, [&](channel& one) {
        std::size_t came = 0;
        while (!PQisBusy(one.connection)) {
            PGresult* rows = PQgetResult(one.connection);
            if (!rows) {
                if (one.sent.empty()) break;
                continue;
            }
            if (PQresultStatus(rows) == PGRES_PIPELINE_SYNC) {
                ++came;
                total.took(one.sent.front());
                one.sent.pop_front();
            } else if (read_account(rows) == 0) {
                total.failed();
            }
            PQclear(rows);
        }
        if (clock::now() < until) {
            if (came) burst(one, came);
        } else if (one.sent.empty()) {
            return --running != 0;
        }
        return true;
    });
}

void batches(const request& asked, std::vector<channel>& channels, measure& total, bool sync_each) {
    const auto until = clock::now() + asked.seconds;
    const std::size_t size = asked.tasks / channels.size();
    std::size_t running = channels.size();
    const auto batch = [&](channel& one) {
        one.sent.assign(1, clock::now());
        one.step = static_cast<int>(sync_each ? size : 1);
        cork(one.connection, 1);
        for (std::size_t i = 0; i < size; ++i) {
            send(one.connection, "s", one.key.next());
            if (sync_each) PQpipelineSync(one.connection);
        }
        if (!sync_each) PQpipelineSync(one.connection);
        flush(one.connection);
        cork(one.connection, 0);
    };
    for (channel& one : channels) {
        PQenterPipelineMode(one.connection);
        batch(one);
    }
    loop(channels, [&](channel& one) {
        while (one.step > 0 && !PQisBusy(one.connection)) {
            PGresult* rows = PQgetResult(one.connection);
            if (!rows) continue;
            if (PQresultStatus(rows) == PGRES_PIPELINE_SYNC) {
                --one.step;
            } else if (read_account(rows) == 0) {
                total.failed();
            }
            PQclear(rows);
        }
        if (one.step == 0) {
            const auto now = clock::now();
            for (std::size_t i = 0; i < size; ++i)
                total.took(one.sent.front(), now);
            if (now >= until) return --running != 0;
            batch(one);
        }
        return true;
    });
}

// BEGIN, an update, a select, COMMIT: four trips, or one.
void transactions(const request& asked, std::vector<channel>& channels, measure& total,
                  bool at_once) {
    const auto until = clock::now() + asked.seconds;
    std::size_t running = channels.size();
    std::deque<clock::time_point> waiting(
        asked.tasks > channels.size() ? asked.tasks - channels.size() : 0, clock::now());
    const auto step = [&](channel& one) {
        const int id = static_cast<int>(&one - channels.data()) + 1;
        if (one.step == 0) send_word(one.connection, "BEGIN");
        if (one.step == 1) send(one.connection, "u", id);
        if (one.step == 2) send(one.connection, "s", id);
        if (one.step == 3) send_word(one.connection, "COMMIT");
    };
    const auto start = [&](channel& one) {
        if (at_once) {
            for (one.step = 0; one.step < 4; ++one.step)
                step(one);
            PQpipelineSync(one.connection);
        } else {
            one.step = 0;
            step(one);
        }
        flush(one.connection);
    };
    for (channel& one : channels) {
        if (at_once) PQenterPipelineMode(one.connection);
        one.sent.assign(1, clock::now());
        start(one);
    }
    loop(channels, [&](channel& one) {
        bool over = false;
        while (!over && !PQisBusy(one.connection)) {
            PGresult* answer = PQgetResult(one.connection);
            if (answer) {
                if (PQresultStatus(answer) == PGRES_FATAL_ERROR) total.failed();
                if (PQresultStatus(answer) == PGRES_TUPLES_OK) read_account(answer);
                over = PQresultStatus(answer) == PGRES_PIPELINE_SYNC;
                PQclear(answer);
            } else if (!at_once) {
                if (++one.step == 4) {
                    over = true;
                } else {
                    step(one);
                    flush(one.connection);
                }
            }
        }
        if (!over) return true;
        const auto now = clock::now();
        total.took(one.sent.front(), now);
        waiting.push_back(now);
        if (now >= until) return --running != 0;
        one.sent.assign(1, waiting.front());
        waiting.pop_front();
        start(one);
        return true;
    });
}

struct entry {
    int id;
    std::string label;
    double amount;
};

std::uint64_t stream(channel& one) {
    std::uint64_t sum = 0;
    if (!PQsendQueryParams(one.connection, select_entries, 0, nullptr, nullptr, nullptr, nullptr,
                           1) ||
        !PQsetSingleRowMode(one.connection)) {
        die(one.connection, "sending");
    }
    flush(one.connection);
    std::vector<channel*> alone{&one};
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

std::uint64_t copy_out(channel& one) {
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

std::uint64_t copy_in(channel& one) {
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

}  // namespace

int main(int count, char** words) {
    const request asked = request::from(count, words);
    if (asked.threads != 1) not_here();
    std::vector<channel> channels;
    for (std::size_t i = 0; i < asked.connections; ++i)
        channels.push_back({open(asked.dsn), {}, keys(i)});

    std::uint64_t sum = 0;
    keys first(12'345);
    for (std::size_t i = 0; i < asked_first; ++i) {
        send(channels[0].connection, "s", first.next());
        flush(channels[0].connection);
        PGresult* rows = PQgetResult(channels[0].connection);
        sum += read_account(rows);
        PQclear(rows);
        PQclear(PQgetResult(channels[0].connection));
    }

    measure total;
    total.begin();
    const auto repeat = [&](std::uint64_t (*work)(channel&)) {
        const auto until = clock::now() + asked.seconds;
        do {
            const auto now = clock::now();
            sum = work(channels[0]);
            total.took(now);
            total.add(entries - 1);
        } while (clock::now() < until);
    };
    if (asked.workload == "select") {
        selects(asked, channels, total);
    } else if (asked.workload == "multiplexed") {
        multiplexed(asked, channels, total);
    } else if (asked.workload == "batch-each" || asked.workload == "batch-once") {
        batches(asked, channels, total, asked.workload == "batch-each");
    } else if (asked.workload == "transaction" || asked.workload == "transaction-once") {
        transactions(asked, channels, total, asked.workload == "transaction-once");
    } else if (asked.workload == "stream") {
        repeat(stream);
    } else if (asked.workload == "copy-out") {
        repeat(copy_out);
    } else if (asked.workload == "copy-in") {
        repeat(copy_in);
    } else {
        not_here();
    }
    total.end();
    total.print(sum);
    for (channel& one : channels)
        PQfinish(one.connection);
}
