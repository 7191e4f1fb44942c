// Records keys and their outcomes, and judges the table with one SELECT.
#include "support/ledger.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <chrono>
#include <map>
#include <stdexcept>
#include <tuple>

namespace test {

namespace {

constexpr std::chrono::seconds patience{20};

const char* words(breach what) {
    switch (what) {
        case breach::missing: return "was acknowledged and is missing";
        case breach::twice: return "is there more than once";
        case breach::run_anyway: return "was said not to have been executed and is there";
        case breach::unasked: return "is there and was never written";
        case breach::torn: return "is there without others of its transaction";
    }
    return "";
}

// A backend may work on after its client has gone. A backend that rests for a moment has nothing
// left to do, so a pooler may keep its own.
asio::awaitable<void> await_rest(bitdotio::connection& direct) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    asio::steady_timer pause(co_await asio::this_coro::executor);
    while (true) {
        const auto busy = co_await direct.query(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND NOT "
            "(state = 'idle' AND state_change < clock_timestamp() - interval '200 ms')");
        if (busy.one<int>() == 0) {
            co_return;
        }
        if (std::chrono::steady_clock::now() >= deadline) {
            throw std::runtime_error("backends of the test still work after 20 s");
        }
        pause.expires_after(std::chrono::milliseconds(5));
        co_await pause.async_wait(asio::use_awaitable);
    }
}

}  // namespace

ledger::key ledger::open() {
    return open(1).front();
}

std::vector<ledger::key> ledger::open(std::size_t count) {
    std::vector<key> keys;
    for (std::size_t i = 0; i < count; ++i) {
        entries_.push_back({fate::unknown, groups_});
        keys.push_back(static_cast<key>(entries_.size()));
    }
    ++groups_;
    return keys;
}

void ledger::acknowledge(key written) {
    settle(written, fate::acknowledged);
}

void ledger::acknowledge(const std::vector<key>& written) {
    for (const key one : written) {
        acknowledge(one);
    }
}

void ledger::fail(key written, bitdotio::outcome known) {
    switch (known) {
        case bitdotio::outcome::not_sent:
        case bitdotio::outcome::not_executed: settle(written, fate::not_executed); break;
        case bitdotio::outcome::executed: settle(written, fate::executed); break;
        case bitdotio::outcome::none:
        case bitdotio::outcome::unknown: break;
    }
}

void ledger::fail(const std::vector<key>& written, bitdotio::outcome known) {
    for (const key one : written) {
        fail(one, known);
    }
}

void ledger::settle(key written, fate told) {
    entry& known = entries_.at(static_cast<std::size_t>(written - 1));
    if (known.told != fate::unknown) {
        throw std::logic_error("the fate of a key is told once");
    }
    known.told = told;
}

void ledger::count(tally& into, fate told) {
    switch (told) {
        case fate::acknowledged: ++into.acknowledged; break;
        case fate::not_executed: ++into.not_executed; break;
        case fate::executed: ++into.executed; break;
        case fate::unknown: ++into.unknown; break;
    }
}

tally ledger::counts() const {
    tally all;
    for (const entry& one : entries_) {
        count(all, one.told);
    }
    return all;
}

tally ledger::counts(const std::vector<key>& some) const {
    tally all;
    for (const key one : some) {
        count(all, entries_.at(static_cast<std::size_t>(one - 1)).told);
    }
    return all;
}

/// Compares a ledger with the rows it should have left.
struct auditor {
    static verdict audit(const ledger& book, const std::map<ledger::key, std::int64_t>& rows) {
        using fate = ledger::fate;
        verdict found;
        const auto note = [&](breach what, ledger::key key) {
            found.violations.push_back({what, key});
        };
        std::map<std::size_t, std::pair<bool, bool>> groups;  // some are there, some are not
        for (std::size_t i = 0; i < book.entries_.size(); ++i) {
            const auto key = static_cast<ledger::key>(i + 1);
            const ledger::entry& one = book.entries_[i];
            const bool there = rows.contains(key);
            auto& group = groups[one.group];
            (there ? group.first : group.second) = true;
            if (!there && (one.told == fate::acknowledged || one.told == fate::executed)) {
                note(breach::missing, key);
            }
            if (there && one.told == fate::not_executed) {
                note(breach::run_anyway, key);
            }
        }
        for (const auto& [key, count] : rows) {
            if (count > 1) {
                note(breach::twice, key);
            }
            if (key < 1 || key > static_cast<ledger::key>(book.entries_.size())) {
                note(breach::unasked, key);
                continue;
            }
            const auto& group = groups[book.entries_[static_cast<std::size_t>(key - 1)].group];
            if (group.first && group.second) {
                note(breach::torn, key);
            }
        }
        return found;
    }
};

std::size_t verdict::count(breach what) const {
    return static_cast<std::size_t>(
        std::count_if(violations.begin(), violations.end(),
                      [what](const violation& one) { return one.what == what; }));
}

std::string verdict::text() const {
    std::string all = std::to_string(violations.size()) + " violations";
    for (std::size_t i = 0; i < std::min<std::size_t>(violations.size(), 10); ++i) {
        all += "; key " + std::to_string(violations[i].key) + " " + words(violations[i].what);
    }
    return all;
}

asio::awaitable<verdict> check(const ledger& book, bitdotio::connection& direct) {
    co_await await_rest(direct);
    const auto answer = co_await direct.query("SELECT key, count(*) FROM ledger GROUP BY key");
    std::map<ledger::key, std::int64_t> rows;
    for (const auto& [key, count] : answer.rows_as<std::tuple<ledger::key, std::int64_t>>()) {
        rows.emplace(key, count);
    }
    co_return auditor::audit(book, rows);
}

}  // namespace test
