// Clients that choose their next operation at random, and handle failures by their policy.
#include "fault/chaos_clients.hpp"

#include "fault/parked_clients.hpp"
#include "fault/place_writes.hpp"

#include <bitdotio/pipeline.hpp>

#include <algorithm>
#include <optional>

namespace test {

using bitdotio::errc;
using bitdotio::outcome;
using std::chrono::steady_clock;

namespace {

// The server works on it for a while, so that faults meet it there.
constexpr const char* slow_insert = "INSERT INTO ledger SELECT $1::bigint FROM pg_sleep(0.05)";

// Running it again changes nothing.
const bitdotio::statement marked_insert =
    bitdotio::statement(
        "WITH mark AS (INSERT INTO marks VALUES ($1) ON CONFLICT DO NOTHING RETURNING key) "
        "INSERT INTO ledger SELECT key FROM mark")
        .idempotent();

bool is_loss(const bitdotio::error& failure) {
    return failure.code() == errc::connection_lost ||
           failure.code() == errc::commit_outcome_unknown;
}

}  // namespace

// write_early commits, and answers a little later: if its answer is lost, it has been executed.
const char* const chaos_clients::schema =
    "CREATE TABLE ledger (key bigint NOT NULL); CREATE TABLE marks (key bigint PRIMARY KEY);"
    "CREATE PROCEDURE write_early(key bigint) LANGUAGE plpgsql AS $$"
    "  BEGIN INSERT INTO ledger VALUES (key); COMMIT; PERFORM pg_sleep(0.1); END $$";

asio::awaitable<void> chaos_clients::work() {
    while (begun_ < operations_) {
        ++begun_;
        const auto start = steady_clock::now();
        co_await one_thing();
        ++done_;
        slowest_ = std::max(slowest_, steady_clock::now() - start);
    }
}

asio::awaitable<void> chaos_clients::one_thing() {
    const std::int64_t lot = dice_.number(1, 100);
    if (lot <= 40) {
        auto insert = [&](const keys& written) -> asio::awaitable<void> {
            co_await pool_.query(lot <= 2 ? slow_insert : ledger::insert, written.front());
        };
        co_await write(1, insert);
    } else if (lot <= 45) {
        auto marked = [&](const keys& written) -> asio::awaitable<void> {
            co_await pool_.query(marked_insert, written.front());
        };
        co_await write(1, marked);
    } else if (lot <= 65) {
        co_await read();
    } else if (lot <= 80) {
        auto together = [&](const keys& written) -> asio::awaitable<void> {
            co_await transact(written);
        };
        co_await write(static_cast<std::size_t>(dice_.number(2, 4)), together);
    } else if (lot <= 90) {
        co_await pipeline();
    } else if (lot <= 93) {
        auto copy = [&](const keys& written) -> asio::awaitable<void> {
            co_await insert_by_copy(pool_, written);
        };
        co_await write(3, copy);
    } else if (lot <= 95) {
        auto stream = [&](const keys& written) -> asio::awaitable<void> {
            co_await insert_by_stream(pool_, written.front());
        };
        co_await write(1, stream);
    } else if (lot <= 98) {
        auto lease = [&](const keys& written) -> asio::awaitable<void> {
            bitdotio::pooled_connection lent = co_await pool_.acquire();
            co_await lent->query("SELECT 1");
            co_await lent->query(ledger::insert, written.front());
        };
        co_await write(1, lease);
    } else {
        auto call = [&](const keys& written) -> asio::awaitable<void> {
            co_await pool_.query("CALL write_early($1)", written.front());
        };
        co_await write(1, call);
    }
}

// Runs `once` by the policy and records how it ended.
template <class Once>
asio::awaitable<void> chaos_clients::write(std::size_t count, Once& once) {
    const keys written = book_.open(count);
    for (int time = 0;; ++time) {
        std::optional<bitdotio::error> failure;
        try {
            co_await once(written);
            book_.acknowledge(written);
        } catch (const bitdotio::error& thrown) {
            failure = thrown;
        }
        if (failure && tries_again(*failure, time)) {
            continue;
        }
        if (failure) {
            note(*failure);
            book_.fail(written, failure->outcome());
        }
        co_return;
    }
}

// What fails before COMMIT was not executed, whatever the outcome of its last statement.
asio::awaitable<void> chaos_clients::transact(const keys& written) {
    std::optional<bitdotio::error> failure;
    std::optional<bitdotio::transaction> open;
    try {
        open.emplace(co_await pool_.begin());
        for (const ledger::key key : written) {
            co_await open->query(ledger::insert, key);
        }
    } catch (const bitdotio::error& thrown) {
        failure = thrown.with(outcome::not_executed);
    }
    if (failure) {
        throw *failure;
    }
    co_await open->commit();
}

// Independent statements: each has its own outcome, and the naive policy repeats all of them.
asio::awaitable<void> chaos_clients::pipeline() {
    keys written;
    bitdotio::pipeline batch;
    for (int i = 0; i < 3; ++i) {
        written.push_back(book_.open());
        batch.add(ledger::insert, written.back());
    }
    for (int time = 0;; ++time) {
        std::vector<std::optional<bitdotio::error>> failures(written.size());
        try {
            const auto results = co_await pool_.run(batch);
            for (std::size_t i = 0; i < written.size(); ++i) {
                const bitdotio::error* const failure = results.failure(i);
                failures[i] = failure ? std::optional(*failure) : std::nullopt;
            }
        } catch (const bitdotio::error& failure) {
            failures.assign(written.size(), failure);
        }
        if (failures.back() && tries_again(*failures.back(), time)) {
            continue;
        }
        for (std::size_t i = 0; i < written.size(); ++i) {
            if (failures[i]) {
                note(*failures[i]);
                book_.fail(written[i], failures[i]->outcome());
            } else {
                book_.acknowledge(written[i]);
            }
        }
        co_return;
    }
}

asio::awaitable<void> chaos_clients::read() {
    const std::int64_t number = dice_.number(1, 1'000'000);
    try {
        const auto answer = co_await pool_.query("SELECT $1::bigint", number);
        misread_ += answer.one<std::int64_t>() != number;
    } catch (const bitdotio::error& failure) {
        note(failure);
    }
}

bool chaos_clients::tries_again(const bitdotio::error& failure, int time) const {
    return policy_ == policy::naive && time == 0 && is_loss(failure);
}

void chaos_clients::note(const bitdotio::error& failure) {
    expect_discreet(failure);
    lost_ += is_loss(failure);
    if (!is_loss(failure) && failure.sqlstate() != "57014") {
        strange_.push_back(failure);
    }
}

}  // namespace test
