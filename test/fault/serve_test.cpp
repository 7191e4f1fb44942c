// `bit serve` as a process: killed by SIGKILL under load, and given endless connections.
#include "fault/parked_clients.hpp"
#include "server/instances/orphan_processes.hpp"
#include "service/profile.hpp"
#include "support/background.hpp"
#include "support/child.hpp"
#include "support/comes_true.hpp"
#include "support/daemon.hpp"
#include "support/environment.hpp"
#include "support/invariants.hpp"
#include "support/run.hpp"
#include "support/secrets.hpp"
#include "support/test_server.hpp"

#include <doctest/doctest.h>
#include <boost/json.hpp>

#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace asio = boost::asio;
namespace json = boost::json;
using namespace std::chrono_literals;
using test::ledger;

// `bit serve` with ports and data of its own, which a restart finds again.
class service {
public:
    service() { start(); }

    void start() {
        program_.emplace(
            std::vector<std::string>{BIT_PROGRAM, "serve", "--data-dir", data().string(),
                                     "--api-port", std::to_string(api_port), "--postgres-port",
                                     std::to_string(postgres_port), "--sleep-after", "2s"},
            std::map<std::string, std::string>{
                {"BITIO_PROFILE", (directory_ / "profile.json").string()}});
        program_->read_until("ready");
    }
    void kill() {
        program_->send(SIGKILL);
        CHECK(program_->wait().status == 128 + SIGKILL);
        program_.reset();
    }
    test::ending stop() {
        program_->send(SIGTERM);
        return program_->wait();
    }

    // Those of the server alone, without its PostgreSQLs.
    std::size_t descriptors() const {
        const auto list = "/proc/" + std::to_string(program_->id()) + "/fd";
        return static_cast<std::size_t>(
            std::distance(std::filesystem::directory_iterator(list), {}));
    }
    std::string resident() const {
        std::ifstream status("/proc/" + std::to_string(program_->id()) + "/status");
        std::string line;
        while (std::getline(status, line) && !line.starts_with("VmRSS:")) {
        }
        return line;
    }
    // The processes of its PostgreSQLs.
    std::size_t processes() const {
        std::size_t count = 0;
        for (const std::string& name : instances())
            count += bitdotio::postgres_processes(name).size();
        return count;
    }

    bitdotio::profile profile() const {
        return *bitdotio::read_profile(directory_ / "profile.json");
    }
    std::filesystem::path data() const { return directory_ / "data"; }
    bool has_processes() const { return test::has_processes(directory_.path()); }

    // The running postmasters, by the cluster names that tell them from all others.
    std::vector<std::string> instances() const {
        std::vector<std::string> names;
        for (const int pid : bitdotio::postgres_processes(data().string())) {
            std::stringstream words;
            words << std::ifstream("/proc/" + std::to_string(pid) + "/cmdline").rdbuf();
            std::string word;
            while (std::getline(words, word, '\0')) {
                if (word.starts_with("cluster_name=")) names.push_back(word.substr(13));
            }
        }
        return names;
    }
    void kill_postmasters() const {
        for (const int pid : bitdotio::postgres_processes(data().string()))
            ::kill(pid, SIGKILL);
    }
    void kill_all_of_instances() const {
        for (const std::string& name : instances()) {
            for (const int pid : bitdotio::postgres_processes(name))
                ::kill(pid, SIGKILL);
        }
    }
    // Kills one process that serves a client; PostgreSQL then restarts.
    void kill_a_backend() const {
        for (const std::string& name : instances()) {
            for (const int pid : bitdotio::postgres_processes(name)) {
                std::string title;
                std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/cmdline"), title);
                if (title.find(": owner ") == std::string::npos) continue;
                ::kill(pid, SIGKILL);
                return;
            }
        }
    }

    // A call of the API with the first key.
    test::http_answer call(const std::string& first_line, const std::string& body) const {
        return test::https(api_port, profile().ca_file,
                           first_line + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" +
                               "Authorization: Bearer " + profile().key + "\r\nContent-Length: " +
                               std::to_string(body.size()) + "\r\n\r\n" + body);
    }

    const std::uint16_t api_port = test::free_port();
    const std::uint16_t postgres_port = test::free_port();

private:
    const test::temporary_directory directory_;
    std::optional<test::child> program_;
};

// Makes the database "local/db0" and returns the options that open it.
bitdotio::connect_options first_database(const service& served) {
    const bitdotio::profile known = served.profile();
    test::keep_secret(known.key);
    CHECK(served.call("POST /v2beta/db/", R"({"name": "db0"})").status == 201);
    bitdotio::connect_options connect;
    connect.hosts = {{known.postgres_host, known.postgres_port}};
    connect.password = known.key;
    connect.database = "local/db0";
    connect.ca_file = known.ca_file;
    return connect;
}

// Writes without a pause, single keys and groups.
asio::awaitable<void> write_on(bitdotio::pool& pool, ledger& book, const bool& over) {
    while (!over) {
        co_await test::write_one(pool, book);
        co_await test::write_together(pool, book, 2);
    }
}

}  // namespace

TEST_CASE("whatever is killed of a server, or all of it, no acknowledged write is lost") {
    service served;
    const bitdotio::profile first = served.profile();
    const bitdotio::connect_options connect = first_database(served);
    int created = 1;
    const auto kill_server = [&] {
        // What the API has acknowledged is as safe as what PostgreSQL has.
        const std::string body = R"({"name": "db)" + std::to_string(created++) + "\"}";
        CHECK(served.call("POST /v2beta/db/", body).status == 201);
        served.kill();
        served.start();
    };
    const auto kill_everything = [&] {
        served.kill_all_of_instances();
        served.kill();
        served.start();
    };
    const std::vector<std::function<void()>> kills = {
        kill_server, [&] { served.kill_postmasters(); },      [&] { served.kill_a_backend(); },
        kill_server, [&] { served.kill_all_of_instances(); }, kill_everything,
    };
    test::run(120s, [&]() -> asio::awaitable<void> {
        constexpr std::size_t workers = 6;
        bitdotio::pool_options options;
        options.max_size = 4;
        bitdotio::pool pool(co_await asio::this_coro::executor, connect, options);
        co_await pool.query(ledger::create);
        ledger book;
        bool over = false;
        auto kill_all = [&]() -> asio::awaitable<void> {
            for (const std::function<void()>& kill : kills) {
                const std::size_t before = book.counts().acknowledged;
                while (book.counts().acknowledged < before + 30) {
                    co_await test::rest(1ms);
                }
                std::function<void()> verb = kill;
                co_await test::elsewhere(std::move(verb));
            }
            over = true;
        };
        auto one = [&](std::size_t i) -> asio::awaitable<void> {
            return i < workers ? write_on(pool, book, over) : kill_all();
        };
        test::expect_none(co_await test::gather(workers + 1, one));
        // The next caller notices nothing.
        CHECK_FALSE(co_await test::write_one(pool, book));
        co_await pool.close();
        bitdotio::connection after = co_await bitdotio::connection::open(connect);
        const test::verdict found = co_await test::check(book, after);
        test::expect_clean(found);
        co_await after.close();
        const test::tally counts = book.counts();
        CHECK(counts.acknowledged >= 30 * kills.size());
        MESSAGE(kills.size() << " kills, " << counts.acknowledged << " writes acknowledged, "
                             << counts.not_executed << " not executed, " << counts.unknown
                             << " unknown");
    });

    CHECK(served.instances().size() == 1);
    CHECK(served.profile().key == first.key);
    const json::value all = json::parse(served.call("GET /v2beta/db/", "").body);
    CHECK(all.at("databases").as_array().size() == static_cast<std::size_t>(created));
    const test::ending ended = served.stop();
    CHECK(ended.status == 0);
    CHECK(ended.err == "");
    CHECK(!served.has_processes());
}

TEST_CASE("connections in series leave neither a descriptor nor a process behind") {
    const int count = test::soaking() ? 10'000 : 300;
    service served;
    const bitdotio::connect_options connect = first_database(served);
    const auto visit = [&](int times) -> asio::awaitable<void> {
        for (int i = 0; i < times; ++i) {
            bitdotio::connection one = co_await bitdotio::connection::open(connect);
            const auto answer = co_await one.query("SELECT $1::int", i);
            CHECK(answer.one<int>() == i);
            co_await one.close();
        }
    };
    test::run(visit(3));
    const auto settles = [&](std::size_t descriptors, std::size_t processes) {
        return test::comes_true(
            [&] { return served.descriptors() <= descriptors && served.processes() <= processes; });
    };
    // One postmaster with its own processes, and no session.
    REQUIRE(settles(served.descriptors(), 7));
    const std::size_t descriptors = served.descriptors();
    const std::size_t processes = served.processes();
    const std::string resident = served.resident();
    const auto begin = std::chrono::steady_clock::now();
    test::run(visit(count), 30min);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    CHECK(settles(descriptors, processes));
    MESSAGE(count << " connections in " << time.count() << " s; before: " << descriptors
                  << " descriptors, " << processes << " processes, " << resident
                  << "; after: " << served.descriptors() << ", " << served.processes() << ", "
                  << served.resident());
    CHECK(served.stop().status == 0);
}
