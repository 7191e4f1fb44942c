// The limit: loops on libpq and epoll with nothing around them.
#include "libpq_channel.hpp"
#include "libpq_rows.hpp"

#include <netinet/tcp.h>
#include <sys/epoll.h>

using namespace bench;

namespace {

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
        if (one.step == 0) send_word(one.connection, "BEGIN", at_once);
        if (one.step == 1) send(one.connection, "u", id);
        if (one.step == 2) send(one.connection, "s", id);
        if (one.step == 3) send_word(one.connection, "COMMIT", at_once);
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

}  // namespace

int main(int count, char** words) {
    const request asked = request::from(count, words);
    if (asked.threads != 1) not_here();
    std::vector<channel> channels;
    // Fewer tasks than connections use as many as there are tasks.
    for (std::size_t i = 0; i < std::min(asked.connections, asked.tasks); ++i)
        channels.push_back({open(asked.dsn), {}, keys(i)});

    std::uint64_t sum = 0;
    keys first(12'345);
    for (std::size_t i = 0; i < asked_first(); ++i) {
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
        repeat(stream_rows);
    } else if (asked.workload == "copy-out") {
        repeat(copy_rows_out);
    } else if (asked.workload == "copy-in") {
        repeat(copy_rows_in);
    } else {
        not_here();
    }
    total.end();
    total.print(sum);
    for (channel& one : channels)
        PQfinish(one.connection);
}
