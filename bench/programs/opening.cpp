// Opens sessions, TASKS at once, each for its first row only: connect, SELECT 1, goodbye.
#include "contract.hpp"

#include <libpq-fe.h>

#include <cstring>
#include <functional>
#include <memory>
#include <thread>

using namespace bench;

namespace {

struct finish {
    void operator()(PGconn* conn) const { PQfinish(conn); }
    void operator()(PGresult* result) const { PQclear(result); }
};

bool first_row(const char* dsn) {
    const std::unique_ptr<PGconn, finish> conn(PQconnectdb(dsn));
    if (PQstatus(conn.get()) != CONNECTION_OK) {
        std::fprintf(stderr, "%s", PQerrorMessage(conn.get()));
        return false;
    }
    const std::unique_ptr<PGresult, finish> row(PQexec(conn.get(), "SELECT 1"));
    return PQresultStatus(row.get()) == PGRES_TUPLES_OK &&
           std::strcmp(PQgetvalue(row.get(), 0, 0), "1") == 0;
}

void open_again_and_again(const request& asked, clock::time_point until, measure& mine) {
    while (clock::now() < until) {
        const auto since = clock::now();
        if (first_row(asked.dsn.c_str())) {
            mine.took(since);
        } else {
            mine.failed();
        }
    }
}

}  // namespace

int main(int count, char** words) {
    const request asked = request::from(count, words);
    if (asked.workload != "open") not_here();
    if (!first_row(asked.dsn.c_str())) return 1;  // and that is why there are no figures
    measure total;
    total.begin();
    const auto until = clock::now() + std::chrono::duration_cast<clock::duration>(asked.seconds);
    std::vector<measure> each(asked.tasks);
    std::vector<std::thread> threads;
    for (measure& one : each) {
        threads.emplace_back(open_again_and_again, std::cref(asked), until, std::ref(one));
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    for (const measure& one : each) {
        total.join(one);
    }
    total.end();
    total.print(0);
}
