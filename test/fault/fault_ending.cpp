// Checks endings against the contract, and adds up figures.
#include "fault/fault_ending.hpp"

#include "support/secrets.hpp"
#include "support/text.hpp"

#include <doctest/doctest.h>

#include <algorithm>

namespace test {

using bitdotio::errc;
using bitdotio::outcome;
using std::chrono::milliseconds;

namespace {

std::optional<errc> code_of(const std::optional<bitdotio::error>& failure) {
    return failure ? std::optional(failure->code()) : std::nullopt;
}

// The goodbye, or the end, was in the receive buffer before anything was sent.
void judge_resting(const fault_ending& end) {
    INFO(end.text());
    switch (end.where) {
        case fault_place::query:
        case fault_place::pipeline: CHECK_FALSE(end.failure); break;
        case fault_place::lease:
        case fault_place::transaction:
        case fault_place::commit:
            CHECK(end.failed(errc::connection_lost, outcome::not_sent));
            break;
        case fault_place::copy_end:
            REQUIRE(end.failure);
            CHECK(end.failure->code() == errc::connection_lost);
            break;
        case fault_place::stream: CHECK(code_of(end.failure) == errc::connection_lost); break;
        default: throw not_parked(end.where);
    }
}

// There is no proof: it may have been executed.
void judge_under_way(const fault_ending& end) {
    INFO(end.text());
    switch (end.where) {
        case fault_place::query:
        case fault_place::lease:
        case fault_place::copy_end:
            CHECK(end.failed(errc::connection_lost, outcome::unknown));
            break;
        case fault_place::commit:
            CHECK(end.failed(errc::commit_outcome_unknown, outcome::unknown));
            break;
        case fault_place::pipeline:
            REQUIRE(end.statements.size() == 3);
            CHECK_FALSE(end.statements[0]);
            CHECK(end.failed(errc::connection_lost, outcome::unknown));
            CHECK(end.statements[1]);
            break;
        case fault_place::transaction:
        case fault_place::stream: CHECK(code_of(end.failure) == errc::connection_lost); break;
        default: throw not_parked(end.where);
    }
}

}  // namespace

bool fault_ending::failed(errc code, outcome known) const {
    return failure && failure->code() == code && failure->outcome() == known;
}

std::string fault_ending::text() const {
    const std::string all(to_string(where));
    if (!failure) {
        return all + " ended well";
    }
    return all + " failed: " + std::string(to_string(failure->code())) + ", " +
           std::string(to_string(failure->outcome())) + ", SQLSTATE \"" + failure->sqlstate() +
           "\", " + failure->what();
}

void expect_loss(const fault_ending& end, moment when) {
    if (end.failure) {  // in words about the server, not about libpq's own state
        CHECK_FALSE(mentions(end.failure->what(), "invalid socket"));
    }
    when == moment::resting ? judge_resting(end) : judge_under_way(end);
}

void expect_silence(const fault_ending& end, milliseconds limit) {
    INFO(end.text());
    CHECK(end.took < limit);
    switch (end.where) {
        case fault_place::query:
        case fault_place::lease:
        case fault_place::pipeline:
        case fault_place::copy_end: CHECK(end.failed(errc::timeout, outcome::unknown)); break;
        case fault_place::commit:
            CHECK(end.failed(errc::commit_outcome_unknown, outcome::unknown));
            break;
        case fault_place::transaction:
            CHECK(end.failed(errc::timeout, outcome::not_executed));
            break;
        case fault_place::stream: CHECK(code_of(end.failure) == errc::timeout); break;
        default: throw not_parked(end.where);
    }
}

void place_figures::add(const fault_ending& end, const ledger& book) {
    auto found = std::find_if(entries_.begin(), entries_.end(),
                              [&](const entry& one) { return one.where == end.where; });
    if (found == entries_.end()) {
        found = entries_.insert(entries_.end(), entry{end.where, {}, {}});
    }
    if (end.failure) {
        expect_discreet(*end.failure);
    }
    figures measured;
    measured.runs = 1;
    measured.writes = book.counts(end.keys);
    measured.slowest = end.took;
    found->measured += measured;
    found->keys.insert(found->keys.end(), end.keys.begin(), end.keys.end());
}

void place_figures::report(int fault, const std::string& name, moment when, const verdict& found,
                           std::uint64_t retried) const {
    for (const entry& one : entries_) {
        figures measured = one.measured;
        for (const violation& bad : found.violations) {
            measured.violations +=
                static_cast<std::size_t>(std::count(one.keys.begin(), one.keys.end(), bad.key));
        }
        if (one.where == fault_place::query) {
            measured.retried = retried;
        }
        test::report(fault, name,
                     std::string(to_string(one.where)) + ", " + std::string(to_string(when)),
                     measured);
    }
}

}  // namespace test
