// A coroutine for each place, and the table of what the contract says.
#include "fault/proxied_pool.hpp"

#include "support/fault_report.hpp"
#include "support/invariants.hpp"
#include "support/run.hpp"

#include <bitdotio/copy.hpp>
#include <bitdotio/pipeline.hpp>
#include <bitdotio/row_stream.hpp>
#include <bitdotio/transaction.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>

namespace test {

using bitdotio::errc;
using bitdotio::outcome;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds cancel_timeout{250};
// For a machine that is busy with other tests, under sanitizers.
constexpr milliseconds slack{400};
constexpr std::chrono::seconds limit{5};

struct told {
    std::optional<errc> code;  // nothing if it ends well
    std::set<outcome> outcomes;
};

bool through_pool(fault_place where) {
    return where == fault_place::query || where == fault_place::stream ||
           where == fault_place::pipeline || where == fault_place::batch;
}

// The contract: what the writer must be told.
told contract(meaning means, fault_place where) {
    const bool undone = where == fault_place::transaction;  // no COMMIT was sent
    switch (means) {
        case meaning::harmless: return {};
        case meaning::known:
            if (through_pool(where)) {
                return {};
            }
            if (where == fault_place::copy_data || where == fault_place::copy_end) {
                return {errc::connection_lost, {outcome::not_sent, outcome::not_executed}};
            }
            return {errc::connection_lost, {outcome::not_sent}};
        case meaning::lost:
        case meaning::late: break;
    }
    told result{means == meaning::late ? errc::timeout : errc::connection_lost, {outcome::unknown}};
    if (where == fault_place::commit) {
        result.code = errc::commit_outcome_unknown;
    }
    if (undone || where == fault_place::copy_data) {
        result.outcomes.insert(outcome::not_executed);
    }
    return result;
}

// How many of its connections to `port` this process believes to be alive.
std::size_t established(std::uint16_t port) {
    std::ifstream table("/proc/net/tcp");
    std::string line;
    std::size_t count = 0;
    char wanted[16];
    std::snprintf(wanted, sizeof wanted, "0100007F:%04X", port);
    while (std::getline(table, line)) {
        std::istringstream words(line);
        std::string number, local, remote, state;
        words >> number >> local >> remote >> state;
        count += remote == wanted && state == "01";
    }
    return count;
}

template <class T>
asio::awaitable<std::optional<bitdotio::error>> caught(asio::awaitable<T> work) {
    try {
        co_await std::move(work);
    } catch (const bitdotio::error& failure) {
        co_return failure;
    }
    co_return std::nullopt;
}

}  // namespace

proxied_pool::proxied_pool(asio::any_io_executor executor, const private_postgres& home,
                           milliseconds statement_timeout, std::size_t max_size)
    : home_(home),
      proxy_(fault_proxy::start(executor, home.port())),
      options_([&] {
          // A password that the server never asks for and that no error may contain.
          bitdotio::connect_options options =
              home.over_tcp("postgres", "an proxied_pool's password");
          options.on_notice = expect_discreet_notice;
          options.hosts = {{"127.0.0.1", proxy_->port()}};
          options.application_name = "proxied_pool";
          options.statement_timeout = statement_timeout;
          options.cancel_timeout = cancel_timeout;
          options.connect_timeout = std::chrono::seconds(1);
          return options;
      }()),
      limits_([&] {
          bitdotio::pool_options limits;
          limits.max_size = max_size;
          limits.acquire_timeout = std::chrono::seconds(2);
          limits.return_timeout = cancel_timeout;
          return limits;
      }()),
      pool_(executor, options_, limits_) {}

asio::awaitable<void> proxied_pool::begin() {
    direct_ = co_await bitdotio::connection::open(home_.superuser());
    co_await direct_.script(std::string("DROP TABLE IF EXISTS ledger; ") + ledger::create);
    co_await pool_.query("SELECT 1");
}

milliseconds proxied_pool::patience() const {
    return options_.statement_timeout + cancel_timeout + slack;
}

asio::awaitable<std::size_t> proxied_pool::backends() {
    const auto answer = co_await direct_.query(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'proxied_pool'");
    co_return answer.one<std::size_t>();
}

// Until no connection through the proxy is believed to be alive: the end has arrived everywhere.
asio::awaitable<void> proxied_pool::until_seen_dead() {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (established(proxy_->port()) > 0) {
        REQUIRE(std::chrono::steady_clock::now() < deadline);
        co_await rest(milliseconds(1));
    }
}

proxied_pool::keys proxied_pool::open_keys(fault_place where) {
    if (where == fault_place::pipeline) {
        return {book_.open(), book_.open(), book_.open()};
    }
    const bool one =
        where == fault_place::query || where == fault_place::stream || where == fault_place::lease;
    return book_.open(one ? 1 : 3);
}

asio::awaitable<void> proxied_pool::inject(fault_place where, const fault& what) {
    const keys written = open_keys(where);
    keeps_connection_ = what.means == meaning::harmless;
    auto begin = std::chrono::steady_clock::now();
    arming arm = [&]() -> asio::awaitable<void> {
        what.arm(*proxy_);
        if (what.means == meaning::known) {
            co_await until_seen_dead();
        }
        if (what.means == meaning::harmless) {
            co_await rest(milliseconds(5));  // the pool may see what arrives, and must tolerate it
        }
        begin = std::chrono::steady_clock::now();
    };
    const failure ended = co_await write(where, written, arm);
    measured_.slowest =
        std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
    CHECK(measured_.slowest <= patience());

    const told expected = contract(what.means, where);
    if (ended) {
        expect_discreet(*ended);
        const std::string words = ended->what();
        CAPTURE(words);
        CHECK(to_string(ended->code()) == (expected.code ? to_string(*expected.code) : "none"));
        CHECK(expected.outcomes.contains(ended->outcome()));
    } else {
        CHECK_FALSE(expected.code);
    }
}

asio::awaitable<void> proxied_pool::cut_everywhere(fault_place where) {
    constexpr std::size_t longest_reply = 1'000;
    std::size_t bytes = 0;
    bool whole = false;
    while (!whole) {
        REQUIRE(bytes < longest_reply);
        whole = !co_await cut_reply(where, bytes++);
    }
    CHECK(bytes > 15);
}

// Whether a reply was cut when only so many of its bytes may arrive.
asio::awaitable<bool> proxied_pool::cut_reply(fault_place where, std::size_t bytes) {
    CAPTURE(bytes);
    co_await pool_.query("SELECT 1");  // otherwise the reply to a dial is cut
    const keys written = open_keys(where);
    const std::size_t before = proxy_->fired();
    const fault_rule after = after_bytes(side::backend, bytes);
    arming arm = [&]() -> asio::awaitable<void> {
        proxy_->set(bytes % 2 == 0 ? after.cut() : after.reset());
        co_return;
    };
    const auto begin = std::chrono::steady_clock::now();
    const failure ended = co_await write(where, written, arm);
    const auto took =
        std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
    measured_.slowest = std::max(measured_.slowest, took);
    ++measured_.runs;
    const bool cut = proxy_->fired() > before;
    CHECK(ended.has_value() == cut);
    if (ended) {
        const bool commits = where == fault_place::commit || where == fault_place::transaction;
        const bool undone = where == fault_place::transaction || where == fault_place::copy_data;
        CAPTURE(std::string(ended->what()));
        CHECK((ended->code() == errc::connection_lost ||
               (commits && ended->code() == errc::commit_outcome_unknown)));
        CHECK((ended->outcome() == outcome::unknown ||
               (undone && ended->outcome() == outcome::not_executed)));
    }
    proxy_->heal();
    co_return cut;
}

asio::awaitable<proxied_pool::failure> proxied_pool::write(fault_place where, const keys& written,
                                                           arming& arm) {
    switch (where) {
        case fault_place::query: {
            co_await arm();
            co_return co_await record(book_, written, pool_.query(ledger::insert, written[0]));
        }
        case fault_place::stream: {
            co_await arm();
            co_return co_await record(book_, written, read_stream(written[0]));
        }
        case fault_place::lease: co_return co_await write_lease(written, arm);
        case fault_place::pipeline: co_return co_await write_pipeline(true, written, arm);
        case fault_place::batch: co_return co_await write_pipeline(false, written, arm);
        case fault_place::transaction: co_return co_await write_in_transaction(false, written, arm);
        case fault_place::commit: co_return co_await write_in_transaction(true, written, arm);
        case fault_place::copy_data: co_return co_await copy(false, written, arm);
        case fault_place::copy_end: co_return co_await copy(true, written, arm);
    }
    co_return std::nullopt;
}

asio::awaitable<void> proxied_pool::read_stream(ledger::key written) {
    auto rows = co_await pool_.stream("INSERT INTO ledger VALUES ($1) RETURNING key", written);
    for (bool more = true; more;) {
        const auto chunk = co_await rows.next();
        more = chunk.has_value();
    }
}

asio::awaitable<proxied_pool::failure> proxied_pool::write_lease(const keys& written, arming& arm) {
    auto lent = co_await pool_.acquire();
    const int backend = lent->backend_pid();
    co_await arm();
    failure ended = co_await record(book_, written, lent->query(ledger::insert, written[0]));
    // A connection is never exchanged while it is on loan.
    CHECK((lent->backend_pid() == backend || lent->backend_pid() == 0));
    co_return ended;
}

asio::awaitable<proxied_pool::failure> proxied_pool::write_pipeline(bool each, const keys& written,
                                                                    arming& arm) {
    bitdotio::pipeline all(each ? bitdotio::pipeline_sync::each_statement
                                : bitdotio::pipeline_sync::once);
    for (const ledger::key key : written) {
        all.add(ledger::insert, key);
    }
    co_await arm();
    failure first;
    try {
        const auto results = co_await pool_.run(std::move(all));
        for (std::size_t i = 0; i < written.size(); ++i) {
            const bitdotio::error* const failed = results.failure(i);
            if (failed) {
                book_.fail(written[i], failed->outcome());
                first = first.value_or(*failed);
            } else {
                book_.acknowledge(written[i]);
            }
        }
    } catch (const bitdotio::error& failed) {
        book_.fail(written, failed.outcome());
        first = failed;
    }
    co_return first;
}

asio::awaitable<proxied_pool::failure> proxied_pool::write_in_transaction(bool at_commit,
                                                                          const keys& written,
                                                                          arming& arm) {
    auto open = co_await pool_.begin();
    for (std::size_t i = 0; i < written.size(); ++i) {
        if (i == 1 && !at_commit) {
            co_await arm();
        }
        const auto failed = co_await caught(open.query(ledger::insert, written[i]));
        if (failed) {
            book_.fail(written, outcome::not_executed);  // without COMMIT
            co_return failed;
        }
    }
    if (at_commit) {
        co_await arm();
    }
    co_return co_await record(book_, written, open.commit());
}

asio::awaitable<proxied_pool::failure> proxied_pool::copy(bool at_end, const keys& written,
                                                          arming& arm) {
    auto lent = co_await pool_.acquire();
    std::string lines;
    for (const ledger::key key : written) {
        lines += std::to_string(key) + "\n";
    }
    co_return co_await record(book_, written, copy_rows(*lent, at_end, lines, arm));
}

asio::awaitable<void> proxied_pool::copy_rows(bitdotio::connection& through, bool at_end,
                                              std::string lines, arming& arm) {
    auto rows = co_await through.copy_from("COPY ledger FROM STDIN");
    if (!at_end) {
        co_await arm();
    }
    co_await rows.write(std::move(lines));
    if (at_end) {
        co_await arm();
    }
    co_await rows.finish();
}

asio::awaitable<void> proxied_pool::until_unused() {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (auto now = co_await pool_.statistics(); now.used + now.waiting + now.connecting > 0;
         now = co_await pool_.statistics()) {
        REQUIRE(std::chrono::steady_clock::now() < deadline);
        co_await rest(milliseconds(1));
    }
}

asio::awaitable<std::size_t> proxied_pool::judge() {
    proxy_->heal();
    const auto answer = co_await pool_.query("SELECT 42");
    CHECK(answer.one<int>() == 42);
    co_await until_unused();
    const auto counts = co_await pool_.statistics();
    CHECK(counts.idle <= limits_.max_size);
    co_await expect_no_trace(pool_, counts.idle);
    if (keeps_connection_) {
        CHECK(counts.opened == 1);
        CHECK(counts.replaced == 0);
    }
    CHECK(proxy_->most_sessions() <= limits_.max_size);
    co_await pool_.close();
    co_await proxy_->until_empty();
    const verdict found = co_await check(book_, direct_);
    CHECK_MESSAGE(found.clean(), found.text());
    CHECK((co_await backends()) == 0);
    const auto there = co_await direct_.query("SELECT count(*) FROM ledger");
    measured_.runs = std::max<std::size_t>(measured_.runs, 1);
    measured_.writes = book_.counts();
    measured_.violations = found.violations.size();
    measured_.retried = counts.retried;
    co_await direct_.close();
    co_return there.one<std::size_t>();
}

void proxied_pool::report(const fault& what, std::string_view where) const {
    test::report(what.number, what.name, std::string(where), measured_);
}

namespace {

// How many rows must be there, if that is known.
std::optional<std::size_t> expected_rows(const fault& what, fault_place where, std::size_t asked) {
    if (contract(what.means, where).code == std::nullopt) {
        return asked;
    }
    if (what.means == meaning::known || what.left == rows::none ||
        where == fault_place::transaction) {
        return 0;
    }
    if (what.left == rows::all && where != fault_place::pipeline) {
        return asked;
    }
    return std::nullopt;
}

asio::awaitable<void> run_one(fault what, fault_place where, milliseconds statement_timeout,
                              const private_postgres& home) {
    const std::string situation = what.name + " @ " + std::string(to_string(where));
    CAPTURE(situation);
    proxied_pool here(co_await asio::this_coro::executor, home, statement_timeout);
    co_await here.begin();
    co_await here.inject(where, what);
    const std::size_t there = co_await here.judge();
    const auto expected = expected_rows(what, where, here.book().size());
    if (expected) {
        CHECK(there == *expected);
    }
    here.report(what, to_string(where));
}

}  // namespace

void run_everywhere(const std::vector<fault>& faults, const std::vector<fault_place>& places,
                    milliseconds statement_timeout, const private_postgres& home) {
    for (const fault& what : faults) {
        for (const fault_place where : places) {
            run_without_trace(home, run_one(what, where, statement_timeout, home));
        }
    }
}

void run_without_trace(const private_postgres&, asio::awaitable<void> work) {
    const auto before = open_descriptors();
    run(std::move(work));
    CHECK(open_descriptors() == before);
}

private_postgres& shared_postgres() {
    static private_postgres instance([] {
        private_postgres_options options;
        options.hba = "host all all 127.0.0.1/32 trust\n";
        return options;
    }());
    return instance;
}

}  // namespace test
