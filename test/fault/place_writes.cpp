// Writes by statements, transactions, pipelines, COPY and streams.
#include "fault/place_writes.hpp"

#include "support/secrets.hpp"

#include <bitdotio/pipeline.hpp>

#include <doctest/doctest.h>

#include <string>
#include <utility>

namespace test {

asio::awaitable<void> insert_by_copy(bitdotio::pool from, const std::vector<ledger::key>& keys) {
    bitdotio::pooled_connection lent = co_await from.acquire();
    bitdotio::copy_in rows = co_await lent->copy_from("COPY ledger FROM STDIN");
    std::string lines;
    for (const ledger::key key : keys) {
        lines += std::to_string(key) + "\n";
    }
    co_await rows.write(std::move(lines));
    co_await rows.finish();
}

asio::awaitable<void> insert_by_stream(bitdotio::pool from, ledger::key key) {
    auto rows = co_await from.stream("INSERT INTO ledger VALUES ($1) RETURNING key", key);
    for (bool more = true; more;) {
        const auto chunk = co_await rows.next();
        more = chunk.has_value();
    }
}

namespace {

asio::awaitable<void> insert_on_lease(bitdotio::pool from, ledger::key key) {
    bitdotio::pooled_connection lent = co_await from.acquire();
    const int backend = lent->backend_pid();
    co_await lent->query(ledger::insert, key);
    CHECK(lent->backend_pid() == backend);
}

asio::awaitable<std::optional<bitdotio::error>> write_pipeline(bitdotio::pool from, ledger& book) {
    std::vector<ledger::key> keys;
    bitdotio::pipeline batch;
    for (int i = 0; i < 3; ++i) {
        keys.push_back(book.open());
        batch.add(ledger::insert, keys.back());
    }
    std::optional<bitdotio::error> first;
    try {
        const auto results = co_await from.run(std::move(batch));
        for (std::size_t i = 0; i < keys.size(); ++i) {
            const bitdotio::error* const failure = results.failure(i);
            if (failure) {
                book.fail(keys[i], failure->outcome());
                first = first.value_or(*failure);
            } else {
                book.acknowledge(keys[i]);
            }
        }
    } catch (const bitdotio::error& failure) {
        book.fail(keys, failure.outcome());
        first = failure;
    }
    if (first) {
        expect_discreet(*first);
    }
    co_return first;
}

}  // namespace

asio::awaitable<std::optional<bitdotio::error>> write_at(fault_place where, bitdotio::pool from,
                                                         ledger& book) {
    switch (where) {
        case fault_place::query: co_return co_await write_one(from, book);
        case fault_place::transaction:
        case fault_place::commit: co_return co_await write_together(from, book, 2);
        case fault_place::pipeline: co_return co_await write_pipeline(from, book);
        case fault_place::lease: {
            const auto key = book.open(1);
            co_return co_await record(book, key, insert_on_lease(from, key.front()));
        }
        case fault_place::copy_end: {
            const auto keys = book.open(3);
            co_return co_await record(book, keys, insert_by_copy(from, keys));
        }
        case fault_place::stream: {
            const auto key = book.open(1);
            co_return co_await record(book, key, insert_by_stream(from, key.front()));
        }
        default: throw not_parked(where);
    }
}

}  // namespace test
