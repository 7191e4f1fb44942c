// TLS records of every size: nothing waits for what OpenSSL has already decrypted.
#include "support/child.hpp"
#include "support/environment.hpp"
#include "support/postgres.hpp"
#include "support/record_front.hpp"
#include "support/run.hpp"

#include "postgres/connector.hpp"
#include "postgres/postgres_session.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/listener.hpp>
#include <bitdotio/pipeline.hpp>

#include <boost/asio/steady_timer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connect_options;
using bitdotio::connection;
using bitdotio::errc;
using bitdotio::statement;
using test::largest_record;
using test::record_front;
using front_ptr = std::shared_ptr<record_front>;

// A statement, a stream's portion or a notification that takes longer hangs.
constexpr std::chrono::milliseconds patience = 20s;

test::private_postgres& server() {
    static test::private_postgres instance([] {
        test::private_postgres_options options;
        options.hba = "host all all 127.0.0.1/32 trust\n";
        return options;
    }());
    return instance;
}

const bitdotio::tls_identity& identity() {
    static const test::temporary_directory directory;
    static const bitdotio::tls_identity made =
        bitdotio::open_tls_identity(directory / "tls", "127.0.0.1");
    return made;
}

connect_options through(const record_front& front) {
    connect_options options = server().over_tcp("postgres", "");
    options.hosts = {{"127.0.0.1", front.port()}};
    options.tls = bitdotio::tls_mode::verify_full;
    options.ca_file = identity().ca_file.string();
    options.statement_timeout = patience;
    options.cancel_timeout = patience;
    return options;
}

// Runs a coroutine with a record_front of its own.
void with_front(asio::awaitable<void> (*work)(front_ptr)) {
    const auto framed = [](asio::awaitable<void> (*inner)(front_ptr)) -> asio::awaitable<void> {
        const front_ptr front =
            record_front::start(co_await asio::this_coro::executor, server().port(), identity());
        co_await inner(front);
        front->close();
    };
    test::run(framed(work), test::soaking() ? std::chrono::milliseconds(30min) : 5min);
}

std::size_t random_from(std::size_t least, std::size_t most) {
    static std::mt19937 chance{std::random_device()()};
    return std::uniform_int_distribution(least, most)(chance);
}

// Every `step`th size from a random one on (each size if there is time for it), and the sizes at
// which buffers end.
std::vector<std::size_t> record_sizes(std::size_t step) {
    std::vector<std::size_t> sizes{1, 2, 4, 5, 8'191, 8'192, 8'193, 16'383, largest_record};
    if (test::soaking()) step = 1;
    for (std::size_t size = random_from(1, step); size < largest_record; size += step) {
        sizes.push_back(size);
    }
    return sizes;
}

// An answer of some records. Its last record has any size, and so has the piece of a row before it,
// which takes room in libpq's buffer.
struct answer_shape {
    explicit answer_shape(std::size_t record) : width(static_cast<int>(random_from(1, 7'900))) {
        constexpr int around = 19;  // a number, and the lengths of row and columns
        const int total = static_cast<int>(random_from(record, 3 * record));
        rows = total / (width + around) + 1;
    }
    int width;  // of a row's text, in bytes
    int rows = 0;
};

constexpr const char* rows_sql = "SELECT g, repeat('y', $1) FROM generate_series(1, $2) g";

asio::awaitable<void> query(connection& c, const answer_shape& shape) {
    const auto answer = co_await c.query(rows_sql, shape.width, shape.rows);
    CHECK(static_cast<int>(answer.size()) == shape.rows);
}

asio::awaitable<void> stream(connection& c, const answer_shape& shape) {
    auto rows = co_await c.stream(rows_sql, shape.width, shape.rows);
    int seen = 0;
    while (const auto chunk = co_await rows.next(100)) {
        for (const auto& [number, text] : chunk->rows_as<std::tuple<int, std::string>>()) {
            ++seen;
            CHECK(number == seen);
        }
    }
    CHECK(seen == shape.rows);
}

asio::awaitable<void> copy_out(connection& c, const answer_shape& shape) {
    auto rows = co_await c.copy_to("COPY (SELECT g, repeat('y', " + std::to_string(shape.width) +
                                   ") FROM generate_series(1, " + std::to_string(shape.rows) +
                                   ") g) TO STDOUT");
    std::ptrdiff_t lines = 0;
    while (const auto piece = co_await rows.next()) {
        lines += std::count(piece->begin(), piece->end(), '\n');
    }
    CHECK(lines == shape.rows);
}

asio::awaitable<void> pipeline(connection& c, const answer_shape& shape) {
    bitdotio::pipeline batch(bitdotio::pipeline_sync::each_statement);
    for (int i = 1; i <= 3; ++i) {
        batch.add(rows_sql, shape.width, shape.rows / i);
    }
    const auto answers = co_await c.run(std::move(batch));
    for (int i = 1; i <= 3; ++i) {
        CHECK(static_cast<int>(answers[static_cast<std::size_t>(i - 1)].size()) == shape.rows / i);
    }
}

asio::awaitable<void> script(connection& c, const answer_shape& shape) {
    const std::string one = "SELECT repeat('y', " + std::to_string(shape.width) +
                            ") FROM generate_series(1, " + std::to_string(shape.rows) + ")";
    const auto answers = co_await c.script(one + ";" + one);
    CHECK(static_cast<int>(answers.at(1).size()) == shape.rows);
}

// A COPY of rows, each of which the server answers with a notice.
asio::awaitable<void> copy_in(connection& c, const answer_shape& shape) {
    auto rows = co_await c.copy_from("COPY noisy FROM STDIN");
    for (int i = 0; i < shape.rows; ++i) {
        co_await rows.write(std::to_string(shape.width) + "\n");
    }
    const auto written = co_await rows.finish();
    CHECK(static_cast<int>(written) == shape.rows);
}

constexpr const char* noisy_table =
    "CREATE TEMP TABLE noisy (size integer);"
    "CREATE FUNCTION pg_temp.tell() RETURNS trigger LANGUAGE plpgsql AS $$"
    "BEGIN RAISE NOTICE '%', repeat('n', NEW.size); RETURN NEW; END $$;"
    "CREATE TRIGGER tells BEFORE INSERT ON noisy FOR EACH ROW EXECUTE FUNCTION pg_temp.tell()";

asio::awaitable<void> ask_in_every_way(front_ptr front) {
    using way = asio::awaitable<void> (*)(connection&, const answer_shape&);
    constexpr way ways[] = {query, stream, copy_out, pipeline, script, copy_in};
    auto c = co_await connection::open(through(*front));
    co_await c.script(noisy_table);
    for (const std::size_t size : record_sizes(48)) {
        CAPTURE(size);
        front->record = size;
        for (const way ask : ways) {
            const answer_shape shape(size);
            CAPTURE(shape.width);
            CAPTURE(shape.rows);
            co_await ask(c, shape);
        }
    }
}

asio::awaitable<void> open_often(front_ptr front) {
    for (const std::size_t size : record_sizes(256)) {
        CAPTURE(size);
        front->record = size;
        front->greeting = random_from(size, 3 * size);
        auto c = co_await connection::open(through(*front));
        const auto answer = co_await c.query("SELECT 42");
        CHECK(answer.one<int>() == 42);
        co_await c.close();
    }
}

// Notifications sent together: how many, and how long.
struct burst {
    burst() {
        constexpr int around = 12;  // type, length, process, "a" and two zero bytes
        bytes = static_cast<std::size_t>(count * (length + around));
    }
    int count = static_cast<int>(random_from(1, 7));
    int length = static_cast<int>(random_from(1, 7'900));
    std::size_t bytes;  // as messages
};

// Notifies all listeners to "a", past the front.
asio::awaitable<void> notify(connection& c, const burst& what) {
    co_await c.query("SELECT pg_notify('a', repeat(i::text, $1)) FROM generate_series(1, $2) AS i",
                     what.length, what.count);
}

asio::awaitable<void> listen(front_ptr front) {
    bitdotio::listener ears(co_await asio::this_coro::executor, through(*front));
    co_await ears.listen("a");
    auto c = co_await connection::open(server().superuser());
    for (const std::size_t size : record_sizes(128)) {
        CAPTURE(size);
        front->record = size;
        const burst sent;
        CAPTURE(sent.count);
        CAPTURE(sent.length);
        front->gather = sent.bytes;
        co_await notify(c, sent);
        for (int i = 1; i <= sent.count; ++i) {
            const auto event = co_await ears.next_within(patience);
            REQUIRE(event);
            const auto* const one = std::get_if<bitdotio::notification>(&*event);
            REQUIRE(one);
            CHECK(one->payload ==
                  std::string(static_cast<std::size_t>(sent.length), static_cast<char>('0' + i)));
        }
    }
    co_await ears.close();
}

using session = std::shared_ptr<bitdotio::postgres_session>;

asio::awaitable<session> dial_listening(front_ptr front) {
    const bitdotio::connector target(co_await asio::this_coro::executor, through(*front));
    session one = co_await target.dial();
    co_await one->script("LISTEN a");
    co_return one;
}

asio::awaitable<void> watch(front_ptr front) {
    auto c = co_await connection::open(server().superuser());
    for (const std::size_t size : record_sizes(256)) {
        CAPTURE(size);
        front->record = size;
        const session one = co_await dial_listening(front);
        bool dead = false;
        asio::steady_timer died(co_await asio::this_coro::executor, patience);
        std::function<void()> on_death = [&] {
            dead = true;
            died.cancel();
        };
        one->watch(std::move(on_death));
        // Sent before the goodbye, and together with it.
        const burst sent;
        CAPTURE(sent.count);
        CAPTURE(sent.length);
        front->gather = sent.bytes + 1;
        co_await notify(c, sent);
        co_await c.query("SELECT pg_terminate_backend($1, 5000)", one->backend_pid());
        if (!dead) {
            boost::system::error_code ended;
            co_await died.async_wait(asio::redirect_error(asio::use_awaitable, ended));
        }
        REQUIRE(dead);
        CHECK(one->goodbye().sqlstate == "57P01");
        one->close();
    }
}

asio::awaitable<void> probe(front_ptr front) {
    const session one = co_await dial_listening(front);
    auto c = co_await connection::open(server().superuser());
    for (const std::size_t size : record_sizes(128)) {
        CAPTURE(size);
        front->record = size;
        // The notifications arrive with the probe's answer.
        const burst sent;
        CAPTURE(sent.count);
        CAPTURE(sent.length);
        front->gather = sent.bytes + 1;
        co_await notify(c, sent);
        const bool alive = co_await one->probe(patience);
        REQUIRE(alive);
    }
    one->close();
}

asio::awaitable<void> cancel(front_ptr front) {
    auto c = co_await connection::open(through(*front));
    for (const std::size_t size : record_sizes(256)) {
        CAPTURE(size);
        front->record = size;
        const std::size_t said = random_from(1, 60'000);
        CAPTURE(said);
        // The error and what follows it are sent together with the notice.
        front->gather = said + 200;
        statement long_one("DO $$BEGIN RAISE NOTICE '%', repeat('n', " + std::to_string(said) +
                           "); PERFORM pg_sleep(60); END$$");
        errc code{};
        try {
            co_await c.query(long_one.timeout(20ms));
        } catch (const bitdotio::error& failure) {
            code = failure.code();
        }
        CHECK(code == errc::timeout);
        const auto answer = co_await c.query("SELECT 42");
        CHECK(answer.one<int>() == 42);
    }
}

}  // namespace

TEST_CASE("answers in TLS records of any size arrive whole, in every way of asking") {
    with_front(ask_in_every_way);
}

TEST_CASE("a session opens whatever the size of the TLS records that greet it") {
    with_front(open_often);
}

TEST_CASE("notifications in TLS records of any size are heard at once") {
    with_front(listen);
}

TEST_CASE("the end of an idle session is seen after notifications in one TLS record") {
    with_front(watch);
}

TEST_CASE("a probe is answered in the same TLS record as notifications") {
    with_front(probe);
}

TEST_CASE("a statement is stopped whose end comes in one TLS record with its notices") {
    with_front(cancel);
}
