// Keeps the sessions of queries for the next query of the same account, each given back clean.
#pragma once

#include <bitdotio/connection.hpp>

#include "base/alarm.hpp"
#include "base/strand.hpp"
#include "server/base/event_log.hpp"
#include "server/hosts/database_host.hpp"
#include "server/hosts/instance_session.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <compare>
#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace bitdotio {

namespace asio = boost::asio;

/// Whose sessions are the same: of one database, in one of session_roles, for one account.
struct query_place {
    query_place() = default;
    query_place(std::string database_, std::string role_, std::string account_)
        : database(std::move(database_)), role(std::move(role_)), account(std::move(account_)) {}

    std::string database;
    std::string role;
    std::string account;

    friend auto operator<=>(const query_place&, const query_place&) = default;
};

/// What all sessions of one place share, in use or not. It tells how many there are, those that
/// are being opened and those that somebody waits for included.
struct query_siblings {
    time_point returned{};  ///< when one of them came back last; only on the strand
};

/// A session for queries, and what is known of it.
struct query_session {
    query_session() = default;

    connection session;
    query_place place;
    std::shared_ptr<query_siblings> siblings;
    time_point opened{};
    time_point returned{};
    /// The transaction that came last in the whole PostgreSQL when it was given back the last
    /// time; empty before that.
    std::string last_transaction;

    /// Whether there is a session at all.
    explicit operator bool() const noexcept { return session.is_open(); }
};

/// How many sessions are kept, and for how long.
struct query_session_limits {
    query_session_limits() = default;

    std::size_t of_database = 8;
    std::size_t in_all = 64;
    /// How long one is kept that nobody uses: it must be less than PostgreSQL's
    /// idle_session_timeout.
    std::chrono::milliseconds idle{10'000};
    /// How long one is used, so that settings of the role and the database take effect again.
    std::chrono::milliseconds life{60'000};
    /// Where `of_database` sessions of a place are in use, the next query waits for one of them:
    /// as long as they come back within `patience` of each other, and `longest_wait` at most. So
    /// many short queries share few sessions, and long ones have their own.
    std::chrono::milliseconds patience{50};
    std::chrono::milliseconds longest_wait{250};
};

/// Sessions that wait for the next query.
///
/// A session never passes from one account to another, nor from one role to another: nothing that
/// a reset might leave would be somebody else's. It is kept after a query that succeeded and left
/// no transaction open, and once all that DISCARD ALL undoes, the role and the seed of random()
/// have been reset; anything else closes it. A kept session holds no lease, so that its database
/// falls asleep as if it were not there.
///
/// Thread safety: its functions may be called from any thread.
/// Lifetime: held by shared_ptr; await `close`, or the last ones are kept to the end of their time.
class query_sessions : public std::enable_shared_from_this<query_sessions> {
public:
    query_sessions(asio::any_io_executor executor, query_session_limits limits,
                   std::shared_ptr<const event_log> events);

    /// Sets what is asked for room in a database that has no place for a session. Call it before
    /// the first query.
    void make_room_by(room_maker make) { make_room_ = std::move(make); }

    /// A kept session that is still open, or one of the place that is given back soon, or none,
    /// for `open`. The caller holds the database.
    ///
    /// Cancellation: terminal, partial, total: a session that was given is closed.
    asio::awaitable<query_session> take(query_place place);
    /// Opens one.
    ///
    /// Parameters: `none` as `take` returned it, or with nothing but its place.
    /// Errors: those of open_session.
    asio::awaitable<query_session> open(query_session none, session_target where);

    /// Resets the session of a query that has succeeded, and keeps it if that went well. Returns
    /// whether anything may have been written in its PostgreSQL, by anybody, since it was given
    /// back the last time.
    ///
    /// Errors: none.
    /// Cancellation: terminal, partial, total: the session is closed.
    asio::awaitable<bool> give_back(query_session used);

    /// Closes what is kept of a database, whose settings have changed, or that is gone.
    void forget(std::string database) noexcept;

    /// Closes what is kept, now and from now on.
    ///
    /// Cancellation: none.
    asio::awaitable<void> close();

private:
    // A query that waits for a session to come back.
    struct waiter {
        waiter(const strand& home, query_session wanted) : told(home), one(std::move(wanted)) {}
        asio::steady_timer told;
        query_session one;     ///< or its place
        bool has_one = false;  ///< or is to open one, because another has ended
    };

    asio::awaitable<query_session> do_take(query_place place);
    query_session pick(const query_place& place);
    bool has_to_wait(const query_session& none) const noexcept;
    asio::awaitable<void> do_close();
    void come_back(query_session used);
    void keep(query_session used);
    void drop_idle();
    void set_alarm();
    failure_report on_failure() const noexcept;

    const asio::any_io_executor executor_;
    const strand strand_;
    const query_session_limits limits_;
    const std::shared_ptr<const event_log> events_;
    room_maker make_room_;
    std::list<query_session> idle_;  ///< the one that came back last at the end
    std::list<std::shared_ptr<waiter>> waiting_;
    std::map<query_place, std::weak_ptr<query_siblings>> siblings_;
    alarm next_end_;
    bool alarm_is_set_ = false;
    bool closed_ = false;
};

}  // namespace bitdotio
