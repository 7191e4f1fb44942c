// Sessions in reserve: begun before their client comes, for roles that have had one lately.
#pragma once

#include "base/deadline.hpp"
#include "base/strand.hpp"
#include "server/gateway/spare_session.hpp"
#include "server/gateway/startup_packet.hpp"
#include "server/hosts/database_host.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bitdotio {

/// How many sessions are kept in reserve, and how long.
struct reserve_limits {
    reserve_limits() = default;

    /// For each role of a database that is awake; 0 for none.
    std::size_t of_role = 1;
    /// For all roles of a database together: each takes one of its PostgreSQL's places.
    std::size_t of_database = 8;
    std::size_t in_all = 64;
    std::chrono::milliseconds life{60'000};
};

/// Begins sessions ahead of their clients. A role has them for the startup packet that its last two
/// sessions had in common, octet by octet: a client that asks for the same finds its session begun.
/// A session is handed out once, unused, and only while everything its beginning depended on is as
/// it was: settings of role and database, the right to connect.
///
/// The reserve holds no lease: PostgreSQL ends its sessions when it goes to sleep, or when it ends
/// all of a role, and they are thrown away.
///
/// Thread safety: every function may be called from any thread.
/// Lifetime: held by shared_ptr; await `close`.
class session_reserve : public std::enable_shared_from_this<session_reserve> {
public:
    explicit session_reserve(asio::any_io_executor executor);

    /// Sets the limits; call it before the first session.
    void limit(reserve_limits limits) noexcept { limits_ = limits; }

    /// A session of the database `id` that began as this one would begin now; null if there is
    /// none. Waits for one that is about to be ready.
    asio::awaitable<std::unique_ptr<spare_session>> take(std::string id, session_target where,
                                                         startup_message wish);

    /// Notes that such a session has begun, and begins another for the next client if it was the
    /// second of its kind. Does not wait for it.
    void began(std::string id, session_target where, startup_message wish);

    /// Ends the database's sessions in reserve, because a client needs their place. Returns when
    /// PostgreSQL has ended them, and those that were already on their way out: whether there were
    /// any, or one has left a moment ago. No others are begun for a while.
    asio::awaitable<bool> make_room(std::string id);

    /// Ends all of them, and begins no more.
    ///
    /// Cancellation: none.
    asio::awaitable<void> close();

private:
    using place = std::pair<std::string, std::string>;  // a database, a role in it

    struct kept {
        explicit kept(const asio::any_io_executor& executor);

        std::string startup;  // the packet of the last session
        std::vector<std::unique_ptr<spare_session>> spares;
        std::string circumstances;  // the last ones known
        time_point used;
        bool filling = false;
        bool soon = false;           // what begins now will most likely be of use
        asio::steady_timer changed;  // cancelled when `filling` ends
        std::shared_ptr<asio::cancellation_signal> stop;  // of filling
    };

    // A session that is being ended: until it has ended, PostgreSQL counts it. It is remembered for
    // a while after, because a client that was refused meanwhile may ask for its place.
    struct departure {
        std::string database;
        std::shared_ptr<asio::cancellation_signal> stop;
        time_point ended = no_deadline;
    };

    asio::awaitable<std::unique_ptr<spare_session>> do_take(place of, std::string startup);
    asio::awaitable<bool> do_make_room(std::string id);
    asio::awaitable<void> do_close();
    void note(std::string id, session_target where, startup_message wish);
    bool has_room(const std::string& id, const kept& mine) const;
    asio::awaitable<void> fill(std::string id, std::shared_ptr<kept> mine, session_target where,
                               startup_message wish);
    void let_go(const std::string& id, std::unique_ptr<spare_session> spare);
    void let_all_go(const std::string& id, kept& mine);
    bool is_leaving(const std::string& id) const noexcept;
    bool has_departure(const std::string& id) const noexcept;
    asio::awaitable<void> look_after();
    void look(time_point now);

    const strand strand_;
    reserve_limits limits_;
    std::map<place, std::shared_ptr<kept>> kept_;
    std::map<std::string, time_point> crowded_;  // databases that had no room, until when
    std::list<departure> departures_;
    asio::steady_timer left_;  // cancelled whenever one has ended
    std::size_t in_all_ = 0;
    bool looking_ = false;
    bool closed_ = false;
    asio::steady_timer pause_;  // of `look_after`
};

}  // namespace bitdotio
