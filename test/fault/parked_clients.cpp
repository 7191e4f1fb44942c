// Clients that come to a point and wait there: at rest for a signal, under way for a lock.
#include "fault/parked_clients.hpp"

#include "support/gather.hpp"
#include "support/pool_use.hpp"

#include "base/blocking.hpp"

#include <bitdotio/pipeline.hpp>

#include <doctest/doctest.h>

#include <stdexcept>

namespace test {

using bitdotio::outcome;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds patience{20};

// Waits in the server, in the midst of the statement, for the holder of point 1.
constexpr const char* held_insert = "INSERT INTO ledger SELECT $1::bigint FROM hold(1)";
// Does not wait, although other commits do.
constexpr const char* quick_insert =
    "INSERT INTO ledger SELECT $1::bigint FROM set_config('parking.quick', 'on', true)";
constexpr const char* held_rows =
    "SELECT i, CASE WHEN i = 5000 THEN hold(1)::text END FROM generate_series(1, 10000) i";

// Where clients wait for each other, and then for a signal.
class meeting {
public:
    explicit meeting(asio::any_io_executor executor)
        : word_(executor, asio::steady_timer::time_point::max()) {}

    asio::awaitable<void> arrive() {
        ++arrived_;
        boost::system::error_code ignored;
        if (!over_) {
            co_await word_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
    }
    std::size_t arrived() const { return arrived_; }
    void go_on() {
        over_ = true;
        word_.cancel();
    }

private:
    std::size_t arrived_ = 0;
    bool over_ = false;
    asio::steady_timer word_;
};

// One client at its place.
class player {
public:
    player(bitdotio::pool from, ledger& book, fault_place where, moment when, meeting& point)
        : from_(std::move(from)), book_(book), when_(when), point_(point) {
        end_.where = where;
    }

    asio::awaitable<void> play() {
        switch (end_.where) {
            case fault_place::query: co_await query(); break;
            case fault_place::lease: co_await lease(); break;
            case fault_place::transaction: co_await transaction(); break;
            case fault_place::commit: co_await commit(); break;
            case fault_place::pipeline: co_await pipeline(); break;
            case fault_place::copy_end: co_await copy(); break;
            case fault_place::stream: co_await rows(); break;
            default: throw not_parked(end_.where);
        }
        ended_ = steady_clock::now();
    }

    fault_ending end(steady_clock::time_point struck) const {
        fault_ending result = end_;
        result.took = std::chrono::duration_cast<milliseconds>(ended_ - struck);
        return result;
    }

private:
    const char* insert() const { return when_ == moment::resting ? ledger::insert : held_insert; }

    asio::awaitable<void> rest_at_point() {
        if (when_ == moment::resting) {
            co_await point_.arrive();
        }
    }

    void open(std::size_t count) { end_.keys = book_.open(count); }

    asio::awaitable<void> query() {
        co_await rest_at_point();
        open(1);
        end_.failure = co_await record(book_, end_.keys, from_.query(insert(), end_.keys.front()));
    }

    asio::awaitable<void> lease() {
        bitdotio::pooled_connection lent = co_await from_.acquire();
        co_await lent->query("SELECT 1");
        const int backend = lent->backend_pid();
        co_await rest_at_point();
        open(1);
        end_.failure = co_await record(book_, end_.keys, lent->query(insert(), end_.keys.front()));
        // A connection is never exchanged while it is on loan.
        CHECK((lent->backend_pid() == backend || lent->backend_pid() == 0));
    }

    asio::awaitable<void> transaction() {
        open(2);
        bitdotio::transaction open = co_await from_.begin();
        co_await open.query(ledger::insert, end_.keys.front());
        co_await rest_at_point();
        bool commits = false;
        try {
            co_await open.query(insert(), end_.keys.back());
            commits = true;
            co_await open.commit();
            book_.acknowledge(end_.keys);
        } catch (const bitdotio::error& failure) {
            book_.fail(end_.keys, commits ? failure.outcome() : outcome::not_executed);
            end_.failure = failure;
        }
    }

    asio::awaitable<void> commit() {
        open(2);
        bitdotio::transaction open = co_await from_.begin();
        for (const ledger::key key : end_.keys) {
            co_await open.query(ledger::insert, key);
        }
        co_await rest_at_point();
        end_.failure = co_await record(book_, end_.keys, open.commit());
    }

    asio::awaitable<void> pipeline() {
        co_await rest_at_point();
        bitdotio::pipeline batch;
        for (const char* const sql : {quick_insert, insert(), quick_insert}) {
            end_.keys.push_back(book_.open());
            batch.add(sql, end_.keys.back());
        }
        std::optional<bitdotio::pipeline_results> results;
        try {
            results.emplace(co_await from_.run(std::move(batch)));
        } catch (const bitdotio::error& failure) {
            book_.fail(end_.keys, failure.outcome());
            end_.failure = failure;
            co_return;
        }
        for (std::size_t i = 0; i < end_.keys.size(); ++i) {
            if (const bitdotio::error* const failure = results->failure(i)) {
                book_.fail(end_.keys[i], failure->outcome());
                end_.statements.push_back(*failure);
                end_.failure = *failure;
            } else {
                book_.acknowledge(end_.keys[i]);
                end_.statements.push_back(std::nullopt);
            }
        }
    }

    asio::awaitable<void> copy() {
        open(5);
        bitdotio::pooled_connection lent = co_await from_.acquire();
        bitdotio::copy_in rows = co_await lent->copy_from("COPY ledger FROM STDIN");
        std::string lines;
        for (const ledger::key key : end_.keys) {
            lines += std::to_string(key) + "\n";
        }
        co_await rows.write(lines);
        co_await rest_at_point();
        end_.failure = co_await record(book_, end_.keys, rows.finish());
    }

    asio::awaitable<void> rows() {
        bitdotio::pooled_connection lent = co_await from_.acquire();
        bitdotio::row_stream stream = co_await lent->stream(held_rows);
        std::size_t seen = 0;
        bool rested = false;
        try {
            while (const auto chunk = co_await stream.next(100)) {
                seen += chunk->size();
                if (seen >= 1'000 && !rested) {  // the server waits at row 5,000
                    rested = true;
                    co_await rest_at_point();
                }
            }
            CHECK(seen == 10'000);
        } catch (const bitdotio::error& failure) {
            end_.failure = failure;
        }
    }

    bitdotio::pool from_;
    ledger& book_;
    const moment when_;
    meeting& point_;
    fault_ending end_;
    steady_clock::time_point ended_;
};

// Until all are there: at rest as they count themselves, under way as the server counts them.
asio::awaitable<void> await_clients(std::size_t count, const meeting& point, moment when,
                                    bitdotio::connection& holder) {
    const auto deadline = steady_clock::now() + patience;
    std::size_t there = 0;
    while (there < count) {
        if (steady_clock::now() >= deadline) {
            throw std::runtime_error("the clients did not come to their points in time");
        }
        co_await rest(milliseconds(2));
        there = point.arrived();
        if (when == moment::under_way) {
            const auto answer = co_await holder.query(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
            there = answer.one<std::size_t>();
        }
    }
}

}  // namespace

const char* const parking_schema =
    "CREATE TABLE ledger (key bigint NOT NULL);"
    "CREATE FUNCTION hold(point integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
    "  PERFORM pg_advisory_xact_lock_shared(point); END $$;"
    "CREATE FUNCTION hold_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    "  IF current_setting('parking.quick', true) IS DISTINCT FROM 'on' THEN"
    "    PERFORM hold(2); END IF; RETURN NULL; END $$;"
    "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON ledger DEFERRABLE INITIALLY DEFERRED"
    "  FOR EACH ROW EXECUTE FUNCTION hold_commit()";

asio::awaitable<void> elsewhere(std::function<void()> work) {
    co_await bitdotio::run_blocking(std::move(work));
}

asio::awaitable<std::vector<fault_ending>> play(
    bitdotio::pool from, ledger& book, const std::vector<fault_place>& places, moment when,
    const bitdotio::connect_options& direct, const std::function<asio::awaitable<void>()>& inject) {
    const auto executor = co_await asio::this_coro::executor;
    bitdotio::connect_options options = direct;
    options.application_name = "holder";
    bitdotio::connection holder = co_await bitdotio::connection::open(options);
    // The stream of rows waits in the server at rest too; otherwise all would be read already.
    co_await holder.query("SELECT pg_advisory_lock(1)");
    if (when == moment::under_way) {
        co_await holder.query("SELECT pg_advisory_lock(2)");
    }
    // As many idle connections as clients, for those that rest without one.
    co_await open_all(from, places.size());
    meeting point(executor);
    std::vector<player> players;
    for (const fault_place where : places) {
        players.emplace_back(from, book, where, when, point);
    }
    steady_clock::time_point struck;
    auto one = [&](std::size_t i) -> asio::awaitable<void> {
        if (i < players.size()) {
            co_await players[i].play();
            co_return;
        }
        // A failure here must not leave the others waiting.
        std::exception_ptr failure;
        try {
            co_await await_clients(players.size(), point, when, holder);
            struck = steady_clock::now();
            co_await inject();
        } catch (...) {
            failure = std::current_exception();
        }
        co_await holder.close();
        point.go_on();
        if (failure) {
            std::rethrow_exception(failure);
        }
    };
    const auto failures = co_await gather(players.size() + 1, one);
    if (!failures.empty()) {
        std::string words = "clients did not come to their points";
        for (const bitdotio::error& failure : failures) {
            words += std::string("; ") + failure.what();
        }
        throw std::runtime_error(words);
    }
    std::vector<fault_ending> ends;
    for (const player& each : players) {
        ends.push_back(each.end(struck));
    }
    co_return ends;
}

}  // namespace test
