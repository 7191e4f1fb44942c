// What a borrower changes in its session, and how the next one is kept from seeing it.
#include "support/fault_proxy.hpp"
#include "support/pool_use.hpp"
#include "support/postgres.hpp"
#include "support/run.hpp"

#include <bitdotio/pool.hpp>
#include <bitdotio/row_stream.hpp>

#include <boost/asio/detached.hpp>

#include <string>
#include <utility>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using bitdotio::connect_options;
using bitdotio::errc;
using bitdotio::outcome;
using bitdotio::pool;
using bitdotio::pool_options;
using bitdotio::session_reset;
using bitdotio::statement;
using test::fault_proxy;
using test::side;

test::private_postgres& server() {
    static test::private_postgres instance([] {
        test::private_postgres_options options;
        options.hba = "host all all 127.0.0.1/32 trust\n";
        return options;
    }());
    static const bool once = [] {
        instance.run(
            "CREATE ROLE ann LOGIN; CREATE ROLE other; GRANT other TO ann;"
            "CREATE TABLE book (a integer); GRANT ALL ON book TO ann;"
            "GRANT CREATE ON SCHEMA public TO ann;"
            "CREATE FUNCTION unseen() RETURNS void LANGUAGE sql AS "
            "$$ SET search_path = elsewhere $$;"
            "CREATE FUNCTION reported() RETURNS void LANGUAGE sql AS "
            "$$ SET TimeZone = 'Asia/Tokyo' $$;");
        return true;
    }();
    static_cast<void>(once);
    return instance;
}

pool one_connection(const asio::any_io_executor& executor, connect_options options,
                    session_reset how = session_reset::smart) {
    pool_options limits;
    limits.max_size = 1;
    limits.reset = how;
    return pool(executor, std::move(options), limits);
}

struct change {
    const char* words;
    const char* question;  // shows the change
};

constexpr change changes[] = {
    {"SET search_path = elsewhere", "SHOW search_path"},
    {"SET TimeZone = 'Asia/Tokyo'", "SHOW TimeZone"},
    {"BEGIN; SET search_path = elsewhere; COMMIT", "SHOW search_path"},
    {"SELECT set_config('search_path', 'elsewhere', false)", "SHOW search_path"},
    {"UPDATE pg_settings SET setting = 'elsewhere' WHERE name = 'search_path'", "SHOW search_path"},
    {"SET local.name = 'left'", "SELECT coalesce(current_setting('local.name', true), '')"},
    {"DO $$ BEGIN PERFORM unseen(); END $$", "SHOW search_path"},
    {"SELECT reported()", "SHOW TimeZone"},
    {"SET ROLE other", "SELECT current_user::text"},
    {"SET SESSION AUTHORIZATION ann; SET ROLE other",
     "SELECT current_user::text || session_user::text"},
    {"CREATE TEMPORARY TABLE mine (a integer)", "SELECT to_regclass('pg_temp.mine')::text"},
    {"EXPLAIN ANALYZE CREATE TEMP TABLE mine AS SELECT 1 AS a",
     "SELECT to_regclass('pg_temp.mine')::text"},
    {"SELECT 1 AS a INTO TEMP mine", "SELECT to_regclass('pg_temp.mine')::text"},
    {"SELECT pg_advisory_lock(7)",
     "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"},
    {"LISTEN news", "SELECT count(*)::text FROM pg_listening_channels()"},
    {"PREPARE mine AS SELECT 1",
     "SELECT count(*)::text FROM pg_prepared_statements WHERE name = 'mine'"},
    {"DECLARE mine CURSOR WITH HOLD FOR SELECT 1",
     "SELECT count(*)::text FROM pg_cursors WHERE name = 'mine'"},
};

asio::awaitable<std::optional<std::string>> ask(pool from, const char* question) {
    const auto answer = co_await from.query(statement(question).unprepared());
    co_return answer.one<std::optional<std::string>>();
}

asio::awaitable<bool> leaks(pool from, change what) {
    const auto pid = co_await ask(from, "SELECT pg_backend_pid()::text");
    const auto before = co_await ask(from, what.question);
    {
        auto lent = co_await from.acquire();
        co_await lent->script(what.words);
    }
    const auto after = co_await ask(from, what.question);
    const auto same = co_await ask(from, "SELECT pg_backend_pid()::text");
    CHECK(pid == same);
    co_return before != after;
}

TEST_CASE("what a borrower changes in its session is undone ahead of the next one's statement") {
    test::run([]() -> asio::awaitable<void> {
        const connect_options options = server().over_tcp("postgres", "");
        pool smart = one_connection(co_await asio::this_coro::executor, options);
        pool always =
            one_connection(co_await asio::this_coro::executor, options, session_reset::always);
        for (const change& one : changes) {
            CAPTURE(one.words);
            const bool seen = co_await leaks(smart, one);
            CHECK_FALSE(seen);
            const bool seen_always = co_await leaks(always, one);
            CHECK_FALSE(seen_always);
        }
        // A change that a function makes must not be seen where the server does not report it.
        const change hidden{"SELECT unseen()", "SHOW search_path"};
        const bool seen = co_await leaks(always, hidden);
        CHECK_FALSE(seen);
        const auto counts = co_await smart.statistics();
        CHECK(counts.opened == 1);
        co_await smart.close();
        co_await always.close();

        // Without a reset each of the changes would have been visible.
        for (const change& one : changes) {
            CAPTURE(one.words);
            pool never =
                one_connection(co_await asio::this_coro::executor, options, session_reset::never);
            const bool leaked = co_await leaks(never, one);
            CHECK(leaked);
            co_await never.close();
        }
    });
}

TEST_CASE("what a single statement of the pool leaves behind is undone, each time that it runs") {
    test::run([]() -> asio::awaitable<void> {
        pool smart =
            one_connection(co_await asio::this_coro::executor, server().over_tcp("postgres", ""));
        for (int time = 0; time < 3; ++time) {
            CAPTURE(time);
            co_await smart.query("SELECT 1 AS a INTO TEMP mine");
            const auto left = co_await ask(smart, "SELECT to_regclass('pg_temp.mine')::text");
            CHECK_FALSE(left.has_value());
        }
        co_await smart.close();
    });
}

// The traffic since the last time.
struct traffic {
    explicit traffic(fault_proxy& proxy) : proxy_(proxy) {}

    int parses() { return since(parses_, proxy_.seen(side::frontend, 'P')); }
    int queries() { return since(queries_, proxy_.seen(side::frontend, 'Q')); }
    int trips() { return since(trips_, proxy_.seen(side::backend, 'Z')); }
    void forget() {
        parses();
        queries();
        trips();
    }

private:
    static int since(int& last, int now) { return now - std::exchange(last, now); }

    fault_proxy& proxy_;
    int parses_ = 0;
    int queries_ = 0;
    int trips_ = 0;
};

TEST_CASE("nothing is sent where nothing was changed, and a reset makes no trip of its own") {
    test::run([]() -> asio::awaitable<void> {
        connect_options options = server().over_tcp("postgres", "");
        const auto proxy = fault_proxy::start(co_await asio::this_coro::executor, server().port());
        options.hosts = {{"127.0.0.1", proxy->port()}};
        pool from = one_connection(co_await asio::this_coro::executor, options);
        traffic seen(*proxy);
        const statement plain = statement("SELECT 1").unprepared();
        co_await from.query(plain);
        seen.forget();
        for (int i = 0; i < 5; ++i) {
            co_await from.query(plain);
        }
        CHECK(seen.parses() == 5);
        CHECK(seen.trips() == 5);
        CHECK(seen.queries() == 0);

        const auto local = [](bitdotio::transaction& t) -> asio::awaitable<void> {
            co_await t.query("SET LOCAL TimeZone = 'Asia/Tokyo'");
            co_await t.query("UPDATE book SET a = 1");
        };
        co_await from.transaction(local);
        seen.forget();
        co_await from.query(plain);
        CHECK(seen.parses() == 1);
        CHECK(seen.trips() == 1);

        // BEGIN, RESET ALL, COMMIT, and the statement, all under one sync.
        co_await from.query("SET search_path = elsewhere");
        seen.forget();
        co_await from.query(plain);
        CHECK(seen.parses() == 4);
        CHECK(seen.trips() == 1);
        co_await from.query(plain);
        CHECK(seen.parses() == 1);

        // The same before a transaction, a script of one statement, and a pipeline.
        co_await from.query("SET search_path = elsewhere");
        seen.forget();
        {
            auto open = co_await from.begin();
            CHECK(seen.trips() == 0);
            co_await open.query("SELECT 1");
            CHECK(seen.trips() == 1);
            co_await open.rollback();
        }
        co_await from.query("SET search_path = elsewhere");
        seen.forget();
        bitdotio::pipeline batch;
        batch.add("SELECT 1");
        batch.add("SELECT 1 / 0");
        batch.add("SHOW search_path");
        const auto results = co_await from.run(std::move(batch));
        CHECK(seen.trips() == 3);
        CHECK(results[0].one<int>() == 1);
        CHECK(results.failure(1) != nullptr);
        CHECK(results[2].one<std::string>() == "\"$user\", public");
        co_await from.close();
        proxy->set(test::admission::refuse);  // no other connection is opened
    });
}

TEST_CASE("a reset leaves what is kept prepared, and disturbs no statement behind it") {
    test::run([]() -> asio::awaitable<void> {
        connect_options options = server().over_tcp("postgres", "");
        const auto proxy = fault_proxy::start(co_await asio::this_coro::executor, server().port());
        options.hosts = {{"127.0.0.1", proxy->port()}};
        pool from = one_connection(co_await asio::this_coro::executor, options);
        for (int i = 0; i < 3; ++i) {
            co_await from.query("SELECT $1::integer", i);
        }
        co_await from.query("SET search_path = elsewhere");
        traffic seen(*proxy);
        seen.forget();
        const auto kept = co_await from.query("SELECT $1::integer", 7);
        CHECK(kept.one<int>() == 7);
        CHECK(seen.parses() == 3);  // none for the statement itself

        // A statement prepared by hand is dropped, and the others with it; they are prepared again.
        co_await from.query("PREPARE mine AS SELECT 1");
        for (int i = 0; i < 3; ++i) {
            const auto again = co_await from.query("SELECT $1::integer", i);
            CHECK(again.one<int>() == i);
        }

        // A failure after the reset does not bring back what the reset undid.
        co_await from.query("SET search_path = elsewhere");
        const auto failure = co_await test::failure_of(from, "SELECT 1 / 0");
        REQUIRE(failure);
        CHECK(failure->sqlstate() == "22012");
        const auto path = co_await from.query("SHOW search_path");
        CHECK(path.one<std::string>() == "\"$user\", public");

        // Statements that must not run in a transaction do not; those that begin one do.
        for (const char* alone : {"VACUUM book", "CREATE INDEX CONCURRENTLY i ON book (a)"}) {
            co_await from.query("SET search_path = elsewhere");
            const auto failed = co_await test::failure_of(from, alone);
            CHECK_FALSE(failed);
        }
        co_await from.query("DROP INDEX i");
        co_await from.query("SET search_path = elsewhere");
        {
            bitdotio::transaction_options strict;
            strict.isolation = bitdotio::isolation_level::serializable;
            auto open = co_await from.begin(strict);
            const auto level = co_await open.query("SHOW transaction_isolation");
            CHECK(level.one<std::string>() == "serializable");
            co_await open.commit();
        }
        co_await from.query("SET search_path = elsewhere");
        {
            auto lent = co_await from.acquire();
            const auto both = co_await lent->script("SHOW search_path; SELECT 2");
            CHECK(both.at(0).one<std::string>() == "\"$user\", public");
        }
        co_await from.query("SET search_path = elsewhere");
        {
            auto rows = co_await from.stream("SHOW search_path");
            const auto chunk = co_await rows.next();
            REQUIRE(chunk);
            CHECK((*chunk)[0][0].as<std::string>() == "\"$user\", public");
        }
        const auto counts = co_await from.statistics();
        CHECK(counts.opened == 1);
        co_await from.close();
        proxy->set(test::admission::refuse);
    });
}

asio::awaitable<void> take_lock(pool from) {
    co_await from.query("SELECT pg_advisory_lock(8)");
}

asio::awaitable<int> count_rows(pool from) {
    const auto answer = co_await from.query("SELECT count(*)::integer FROM book");
    co_return answer.one<int>();
}

TEST_CASE("where a reset fails the session is closed, and the statement runs elsewhere, once") {
    server().run("REVOKE EXECUTE ON FUNCTION pg_advisory_unlock_all() FROM PUBLIC");
    server().run("TRUNCATE book");
    test::run([]() -> asio::awaitable<void> {
        const connect_options options = server().over_tcp("ann", "");
        pool from = one_connection(co_await asio::this_coro::executor, options);
        const std::string write = "INSERT INTO book VALUES (1)";
        co_await take_lock(from);
        co_await from.query(write);
        int rows = co_await count_rows(from);
        CHECK(rows == 1);
        co_await take_lock(from);
        {
            auto open = co_await from.begin();
            co_await open.query(write);
            co_await open.commit();
        }
        rows = co_await count_rows(from);
        CHECK(rows == 2);
        auto counts = co_await from.statistics();
        CHECK(counts.opened == 3);
        CHECK(counts.retried == 2);

        // On a lent connection nothing runs, whatever ends transactions after the reset.
        const std::vector<std::string> texts{write, "COMMIT; " + write, "VACUUM book"};
        for (const std::string& text : texts) {
            CAPTURE(text);
            co_await take_lock(from);
            auto lent = co_await from.acquire();
            std::optional<bitdotio::error> failure;
            try {
                co_await lent->script(text);
            } catch (const bitdotio::error& thrown) {
                failure = thrown;
            }
            REQUIRE(failure);
            CHECK(failure->code() == errc::connection_lost);
            CHECK(failure->outcome() == outcome::not_sent);
            CHECK_FALSE(lent->is_open());
        }
        co_await take_lock(from);
        bitdotio::pipeline batch;
        batch.add(write);
        batch.add("ROLLBACK");
        batch.add(write);
        const auto results = co_await from.run(std::move(batch));
        CHECK(results.failure(2) == nullptr);
        co_await take_lock(from);
        bitdotio::pipeline together(bitdotio::pipeline_sync::once);
        together.add(write);
        together.add(write);
        const auto once = co_await from.run(std::move(together));
        CHECK(once.succeeded());
        rows = co_await count_rows(from);
        CHECK(rows == 6);
        co_await from.close();
    });
    server().run("GRANT EXECUTE ON FUNCTION pg_advisory_unlock_all() TO PUBLIC");
}

TEST_CASE("no more than two requests to cancel are on their way to one server") {
    test::run([]() -> asio::awaitable<void> {
        connect_options options = server().over_tcp("postgres", "");
        const auto executor = co_await asio::this_coro::executor;
        const auto proxy = fault_proxy::start(executor, server().port());
        options.hosts = {{"127.0.0.1", proxy->port()}};
        options.cancel_timeout = 20s;
        constexpr std::size_t many = 6;
        pool from(executor, options);
        co_await test::open_all(from, many);
        proxy->set(test::admission::silent);  // they do not get through, and do not end
        const auto requests = [&] { return proxy->seen(side::frontend, test::cancel_request); };
        const auto watch = [&]() -> asio::awaitable<void> {
            std::function<bool()> two = [&] { return requests() == 2; };
            co_await proxy->until(two, "two requests");
            co_await test::rest(300ms);
            CHECK(requests() == 2);
            proxy->heal();  // now all of them do
        };
        asio::co_spawn(executor, watch(), asio::detached);
        auto one = [&](std::size_t) -> asio::awaitable<void> {
            statement slow("SELECT pg_sleep(30)");
            slow.timeout(100ms);
            co_await from.query(slow);
        };
        const auto failures = co_await test::gather(many, one);
        CHECK(failures.size() == many);
        for (const bitdotio::error& failure : failures) {
            CHECK(failure.code() == errc::timeout);
            CHECK(failure.outcome() == outcome::not_executed);
        }
        CHECK(requests() >= static_cast<int>(many));
        co_await from.close();
        proxy->set(test::admission::refuse);
    });
}

}  // namespace
