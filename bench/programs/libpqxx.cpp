// libpqxx: blocking, so a thread for each connection.
#include "contract.hpp"

#include <pqxx/pqxx>

#include <memory>
#include <thread>

using namespace bench;

namespace {

std::uint64_t ask(pqxx::connection& connection, int key) {
    pqxx::nontransaction work(connection);
    const pqxx::result rows = work.exec_prepared("s", key);
    return rows[0][1].as<std::uint64_t>() + rows[0][0].as<std::string>().size();
}

void work(pqxx::connection& connection, const request& asked, std::size_t task,
          clock::time_point until, measure& all) {
    keys key(task);
    const int own = static_cast<int>(task) + 1;
    for (clock::time_point now = clock::now(); now < until;) {
        if (asked.workload == "select") {
            if (ask(connection, key.next()) == 0) all.failed();
        } else {
            pqxx::work open(connection);
            open.exec_prepared("u", own);
            if (open.exec_prepared("s", own).empty()) all.failed();
            open.commit();
        }
        const clock::time_point then = clock::now();
        all.took(now, then);
        now = then;
    }
}

std::uint64_t stream(pqxx::connection& connection) {
    std::uint64_t sum = 0;
    pqxx::work open(connection);
    pqxx::stream_from rows(open, "entry", std::vector<std::string>{"id", "label", "amount"});
    std::tuple<int, std::string, double> row;
    while (rows >> row)
        sum += weight(std::get<0>(row), std::get<1>(row).size(), std::get<2>(row));
    rows.complete();
    return sum;
}

}  // namespace

int main(int count, char** words) {
    const request asked = request::from(count, words);
    if (asked.workload != "select" && asked.workload != "transaction" &&
        asked.workload != "stream") {
        not_here();
    }
    // A task more than there are connections would only wait for a thread.
    if (asked.tasks > 64 || asked.threads != 1) not_here();
    std::vector<std::unique_ptr<pqxx::connection>> all;
    for (std::size_t i = 0; i < asked.connections; ++i) {
        all.push_back(std::make_unique<pqxx::connection>(asked.dsn));
        all.back()->prepare("s", select_account);
        all.back()->prepare("u", update_account);
    }
    std::uint64_t sum = 0;
    keys first(12'345);
    for (std::size_t i = 0; i < asked_first(); ++i)
        sum += ask(*all[0], first.next());

    measure total;
    const auto until = clock::now() + std::chrono::duration_cast<clock::duration>(asked.seconds);
    total.begin();
    if (asked.workload == "stream") {
        do {
            const auto now = clock::now();
            sum = stream(*all[0]);
            total.took(now);
            total.add(entries - 1);
        } while (clock::now() < until);
    } else {
        std::vector<measure> parts(all.size());
        std::vector<std::thread> threads;
        for (std::size_t i = 0; i < all.size(); ++i) {
            threads.emplace_back([&, i] { work(*all[i], asked, i, until, parts[i]); });
        }
        for (std::thread& one : threads)
            one.join();
        for (const measure& one : parts)
            total.join(one);
    }
    total.end();
    total.print(sum);
}
