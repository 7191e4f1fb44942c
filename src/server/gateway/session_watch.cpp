// Keeps requests against ReadyForQuery.
#include "server/gateway/session_watch.hpp"

#include <algorithm>

namespace bitdotio {

session_watch::session_watch(session_limits limits, time_point now)
    : limits_(limits),
      quiet_since_(now),
      end_of_life_(limits.life.count() > 0 ? later(now, limits.life) : no_deadline) {}

void session_watch::from_client(std::string_view bytes, time_point now) {
    quiet_since_ = now;
    asked_.read(bytes, [this](char type, char) {
        switch (type) {
            case 'Q':
            case 'F':  // a function call
                owe(loose_ ? 'q' : 'Q');
                unanswered_ = flushed_ = 0;  // its ReadyForQuery answers those too
                break;
            case 'S':
                if (copying_) break;  // PostgreSQL ignores it
                owe('S');
                loose_ = skipping_ = false;
                unanswered_ = flushed_ = 0;
                break;
            case 'c':
            case 'f':
                // The end of data that PostgreSQL has not asked for yet, or never will.
                if (!copying_ && (owed_.empty() ? loose_ : owed_.back() != 'c')) owe('c');
                copying_ = false;
                break;
            case 'd':  // part of a COPY, which the statement's own end answers
                break;
            case 'H':  // asks for answers, not for anything to answer
                flushed_ = unanswered_;
                break;
            case 'X': goodbye_ = true; break;
            default:
                loose_ = true;
                if (!skipping_) ++unanswered_;
        }
    });
}

void session_watch::owe(char type) {
    if (!floods()) owed_.push_back(type);
}

void session_watch::from_server(std::string_view bytes, time_point now) {
    quiet_since_ = now;
    handing_on_ = true;
    answered_.read(bytes, [this](char type, char first) {
        status_ = 0;
        switch (type) {
            case 'Z':
                answered();
                status_ = first;
                break;
            case 'E':
                failed_ = true;
                copying_ = false;
                if (owed_.empty() && loose_) {
                    skipping_ = true;
                    unanswered_ = flushed_ = 0;
                }
                break;
            case '1':  // parsed, bound, closed
            case '2':
            case '3':
            case 'T':  // described
            case 'n':
            case 'C':  // executed, for now at least
            case 's':
            case 'I':
                if (owed_.empty() && unanswered_ > 0) {
                    --unanswered_;
                    if (flushed_ > 0) --flushed_;
                }
                break;
            case 'G':
            case 'W': copy_begins(); break;
            case 'D':
            case 'd': ++rows_; break;
            default: break;
        }
    });
}

// During a COPY that takes data, PostgreSQL ignores Sync: those that the client sent along with the
// statement, up to the end of the data, are never answered.
void session_watch::copy_begins() {
    const bool by_query = !owed_.empty() && (owed_.front() == 'Q' || owed_.front() == 'q');
    const auto begin = owed_.begin() + (by_query ? 1 : 0);
    auto end = begin;
    while (end != owed_.end() && *end == 'S') {
        ++end;
    }
    copying_ = end == owed_.end() || *end != 'c';
    owed_.erase(begin, copying_ ? end : end + 1);
}

void session_watch::answered() {
    const auto skip_data = [this] {
        while (!owed_.empty() && owed_.front() == 'c') {
            owed_.pop_front();
        }
    };
    skip_data();
    if (failed_ && !owed_.empty() && owed_.front() == 'q') {
        // Perhaps it was not the query that failed but what came before it: then PostgreSQL has
        // skipped everything up to the Sync that it answers now.
        while (!owed_.empty() && owed_.front() != 'S') {
            owed_.pop_front();
        }
    }
    if (!owed_.empty()) owed_.pop_front();
    skip_data();
    failed_ = false;
    copying_ = false;
}

void session_watch::handed_on(time_point now) {
    handing_on_ = false;
    quiet_since_ = now;
}

bool session_watch::rests() const noexcept {
    return status_ != 0 && owed_.empty() && !loose_ && !handing_on_ && !copying_ &&
           answered_.between_messages() && asked_.between_messages();
}

// PostgreSQL has nothing to do before the client sends more. What the client wants no answer to yet
// may still run, but a client that is silent for so long has given it up.
bool session_watch::waits_for_client() const noexcept {
    if (handing_on_ || !answered_.between_messages()) return false;
    if (copying_) return true;
    if (!owed_.empty()) return false;
    return loose_ ? flushed_ == 0 : status_ != 0;
}

std::chrono::milliseconds session_watch::idle_limit() const noexcept {
    return status_ == 'I' && rests() ? limits_.idle : limits_.idle_in_transaction;
}

session_watch::ending session_watch::due(time_point now) const {
    if (floods()) return ending::flood;
    if (!waits_for_client()) return ending::none;
    const bool resting = rests();
    if (resting && retired_) return ending::server_stops;
    const bool idle = resting && status_ == 'I';
    const auto limit = idle_limit();
    if (limit.count() > 0 && now >= later(quiet_since_, limit)) {
        return idle ? ending::idle : ending::idle_in_transaction;
    }
    if (end_of_life_ == no_deadline || copying_ || unanswered_ > 0) return ending::none;
    // A transaction gets a little more time to end, and so does a request.
    const auto mercy = idle ? std::chrono::milliseconds(0) : limits_.life / 10;
    return now >= later(end_of_life_, mercy) ? ending::life : ending::none;
}

std::optional<time_point> session_watch::next(time_point now) const {
    const bool waits = waits_for_client();
    const auto limit = waits ? idle_limit() : std::max(limits_.idle, limits_.idle_in_transaction);
    std::optional<time_point> soonest;
    if (limit.count() > 0) soonest = later(waits ? quiet_since_ : now, limit);
    if (end_of_life_ != no_deadline) {
        // Past its life, but busy or in a transaction: the next answer decides, or that limit.
        const time_point over =
            now < end_of_life_ ? end_of_life_ : later(end_of_life_, limits_.life / 10);
        if (over > now && (!soonest || over < *soonest)) soonest = over;
    }
    return soonest;
}

}  // namespace bitdotio
