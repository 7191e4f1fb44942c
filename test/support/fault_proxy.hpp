// A proxy between clients and PostgreSQL that knows the protocol's messages and fails as told.
#pragma once

#include "support/messages.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace test {

/// What a proxy does to a connection.
enum class fault_action {
    cut,         ///< Ends it in good order: FIN both ways; what was on its way is lost.
    half_close,  ///< Tells the receiver that no more will come; the other direction goes on.
    reset,       ///< RST both ways.
    hold,        ///< Keeps what this side sends, like a network that drops packets.
    hold_both,   ///< The same both ways: neither side receives anything any more.
    delay,       ///< Lets this one wait, then pass.
    drip,        ///< Lets one byte pass at a time, from here on.
    slice,       ///< Lets one message pass at a time, from here on.
};

/// When a proxy does what to the connection that meets it; a value for tables of faults.
struct fault_rule {
    side from = side::backend;
    char type = 0;                     ///< of the message; `any_message` for each
    int nth = 1;                       ///< of those that come from now on, over all connections
    std::optional<std::size_t> bytes;  ///< instead of type and nth: after this many from that side
    bool behind = false;               ///< after the message has passed, not before
    fault_action act = fault_action::cut;
    std::chrono::milliseconds pause{0};

    fault_rule cut() const { return with(fault_action::cut); }
    fault_rule half_close() const { return with(fault_action::half_close); }
    fault_rule reset() const { return with(fault_action::reset); }
    fault_rule hold() const { return with(fault_action::hold); }
    fault_rule hold_both() const { return with(fault_action::hold_both); }
    fault_rule delay(std::chrono::milliseconds time) const {
        return with(fault_action::delay, time);
    }
    fault_rule drip(std::chrono::milliseconds each) const { return with(fault_action::drip, each); }
    fault_rule slice(std::chrono::milliseconds each) const {
        return with(fault_action::slice, each);
    }

private:
    fault_rule with(fault_action what, std::chrono::milliseconds time = {}) const {
        fault_rule made = *this;
        made.act = what;
        made.pause = time;
        return made;
    }
};

inline constexpr char any_message = '*';

/// `before(side::backend, 'C').cut()`: the message does not arrive.
inline fault_rule before(side from, char type, int nth = 1) {
    return {.from = from, .type = type, .nth = nth, .bytes = {}};
}
/// `after(side::backend, 'C').cut()`: it arrives, and nothing after it.
inline fault_rule after(side from, char type, int nth = 1) {
    return {.from = from, .type = type, .nth = nth, .bytes = {}, .behind = true};
}
/// `after_bytes(side::backend, 17).cut()`: this many arrive. They may end within a message.
inline fault_rule after_bytes(side from, std::size_t count) {
    return {.from = from, .bytes = count};
}

/// How a proxy receives new connections.
enum class admission {
    open,
    silent,   ///< Accepts, and holds all that is sent until `heal`.
    hang_up,  ///< Accepts, and ends the connection at once.
    refuse,   ///< Does not listen on its port.
};

/// A proxy on a port of its own. It hands on whole messages, one after the other.
///
/// Thread safety: none; it is used where its executor runs, which must be of one thread.
class fault_proxy : public std::enable_shared_from_this<fault_proxy> {
public:
    /// Starts one; it ends, with all its connections, when the returned pointer does.
    ///
    /// Parameters: `target` is the port of the server on 127.0.0.1.
    static std::shared_ptr<fault_proxy> start(const boost::asio::any_io_executor& executor,
                                              std::uint16_t target);

    std::uint16_t port() const { return port_; }
    const boost::asio::any_io_executor& executor() const { return executor_; }

    /// Applies a rule once. Rules are independent; of several that hit one message the oldest acts.
    void set(fault_rule rule);
    void set(admission how);
    /// Does it at once to every open connection.
    void cut() { each(fault_action::cut); }
    void reset() { each(fault_action::reset); }
    void hold(side from) { each(fault_action::hold, from); }
    void hold_both() { each(fault_action::hold_both); }
    /// Sends bytes to every client as if they came from the server.
    void say(const std::string& bytes);
    /// Forgets all rules and accepts all connections. Held bytes arrive now, like a network's
    /// delayed packets, unless the sender has reset its connection meanwhile.
    void heal();

    std::size_t accepted() const { return accepted_; }  ///< connections so far
    /// Those that began with a startup message and that their client has not ended.
    std::size_t sessions() const { return sessions_; }
    std::size_t most_sessions() const { return most_sessions_; }
    std::size_t open() const { return links_.size(); }  ///< connections of any kind, open now
    std::size_t fired() const { return fired_; }        ///< rules applied so far
    int seen(side from, char type) const;
    std::size_t bytes(side from) const { return bytes_[index(from)]; }

    /// Waits until `met()` holds; checks it after everything that happens here.
    ///
    /// Parameters: a named callable.
    /// Errors: std::runtime_error naming `what` if it does not come true in time.
    boost::asio::awaitable<void> until(std::function<bool()>& met, std::string what,
                                       std::chrono::milliseconds limit = std::chrono::seconds(10));
    /// Waits until so many messages of a type have been seen since the start.
    boost::asio::awaitable<void> until_seen(side from, char type, int count = 1);
    boost::asio::awaitable<void> until_fired(std::size_t count = 1);
    /// Waits until every connection is gone.
    boost::asio::awaitable<void> until_empty();

private:
    struct link;
    using link_ptr = std::shared_ptr<link>;

    fault_proxy(const boost::asio::any_io_executor& executor, std::uint16_t target);

    static std::size_t index(side from) { return from == side::frontend ? 0 : 1; }
    void listen();
    void shut();
    boost::asio::awaitable<void> serve(std::shared_ptr<fault_proxy> self);
    boost::asio::awaitable<void> pump(std::shared_ptr<fault_proxy> self, link_ptr on, side from);
    boost::asio::awaitable<void> deliver(link& on, side from, wire_message message);
    boost::asio::awaitable<void> write(link& on, side from, std::string bytes);
    boost::asio::awaitable<void> obey(link& on, const fault_rule& rule);
    std::optional<std::pair<fault_rule, std::size_t>> due(side from, const wire_message& message);
    void count(link& on, side from, const wire_message& message);
    void act(link& on, side from, fault_action what);
    void each(fault_action what, side from = side::backend);
    void end_of(link& on, side from, bool was_reset);
    void forget(const link& gone);
    void happened() { changed_.cancel(); }

    boost::asio::any_io_executor executor_;
    boost::asio::ip::tcp::acceptor acceptor_;
    std::uint16_t target_;
    std::uint16_t port_ = 0;
    admission admission_ = admission::open;
    bool closed_ = false;
    std::vector<fault_rule> rules_;
    std::vector<link_ptr> links_;
    std::map<std::pair<side, char>, int> seen_;
    std::size_t bytes_[2] = {0, 0};
    std::size_t accepted_ = 0;
    std::size_t sessions_ = 0;
    std::size_t most_sessions_ = 0;
    std::size_t fired_ = 0;
    boost::asio::steady_timer changed_;
};

}  // namespace test
