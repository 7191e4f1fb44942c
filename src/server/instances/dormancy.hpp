// Decides when an instance starts and stops: a rule over events and time, without I/O.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace bitdotio {

/// The life of one database's instance: asleep, waking, awake, falling asleep.
///
/// Callers report events as they happen and ask `decide` after each: it says what to do now and
/// when to ask again. A caller first waits, then is connected to the life that admitted it; what
/// a connection says about an earlier life is ignored.
///
/// Thread safety: a value.
class dormancy {
public:
    using time_point = std::chrono::steady_clock::time_point;
    using duration = std::chrono::steady_clock::duration;

    struct settings {
        /// The instance is stopped when nobody has been connected for this long.
        duration sleep_after = std::chrono::seconds(60);
        /// An exit that nobody asked for is quick if it comes before the instance accepts
        /// connections, however late, or within this time after.
        duration quick = std::chrono::seconds(5);
        /// After this many quick exits in a row the instance counts as broken: waiters are refused…
        int quick_exits = 3;
        /// …and so are all callers within this time; then it is tried once more.
        duration broken_for = std::chrono::seconds(10);
        /// How long each stop request may take before a harder one follows.
        duration patience = std::chrono::seconds(10);
        /// The same before the instance accepts connections, or when its data is to be removed:
        /// nothing has to be finished.
        duration starting_patience = std::chrono::seconds(2);
        /// How long sessions of an instance whose data is to be removed may take to end.
        duration parting_patience = std::chrono::milliseconds(250);
    };

    enum class state { asleep, waking, awake, falling_asleep };

    /// How hard to ask the instance to stop.
    enum class stop { no, fast, immediate, kill };

    struct orders {
        bool start = false;
        dormancy::stop stop = dormancy::stop::no;
        /// Nobody is connected, and it is about to be stopped: it is put right before, and
        /// `righted` is called whether that succeeded or not.
        bool put_right = false;
        bool admit = false;   ///< all who wait are now connected
        bool refuse = false;  ///< all who wait are refused
        std::optional<time_point> next;
    };

    explicit dormancy(const settings& options) : options_(options), patience_(options.patience) {}

    /// A caller wants it awake: `decide` admits or refuses all who wait together.
    void wait() { ++waiting_; }
    /// Whether a caller that waits now is admitted by the next `decide`.
    bool admits_at_once() const { return state_ == state::awake && !must_sleep_; }
    /// A caller stops waiting without having been admitted or refused.
    void forget() { --waiting_; }
    /// A connection of the given life has ended.
    void connection_closed(std::uint64_t life, time_point now) {
        if (life == life_ && connected_ > 0 && --connected_ == 0) {
            empty_since_ = now;
        }
    }

    /// The instance accepts connections.
    void started(time_point now) {
        state_ = state::awake;
        patience_ = options_.patience;
        started_at_ = now;
        empty_since_ = now;
    }
    /// The process is gone, or could not start, whether asked to stop or not.
    void stopped(time_point now) {
        const bool asked = state_ == state::falling_asleep;
        if (asked || (state_ == state::awake && now - started_at_ >= options_.quick)) {
            quick_exits_ = 0;
        }
        if (!asked) {
            ++quick_exits_;
            if (quick_exits_ >= options_.quick_exits) {
                broken_until_ = now + options_.broken_for;
            }
        }
        left_right_ = asked && stop_asked_ == stop::fast && righting_ == righting::good;
        righting_ = righting::no;
        state_ = state::asleep;
        stop_asked_ = stop::no;
        connected_ = 0;
        must_sleep_ = false;
    }
    /// A life has been put right, as `decide` ordered.
    ///
    /// Parameters: `good` if nothing is left to be put right, and nobody who was there can still
    ///     change it.
    void righted(std::uint64_t life, bool good) {
        if (life != life_ || state_ != state::awake) return;
        const bool overtaken = righting_ == righting::overtaken;
        righting_ = overtaken ? righting::no : good ? righting::good : righting::failed;
    }
    /// Whether the last life ended in order after it was put right, with nobody connected since.
    bool was_left_right() const { return left_right_; }
    /// It must stop although someone is connected; the next life serves those who wait.
    void sleep_now() { must_sleep_ = state_ != state::asleep; }
    /// It must stop and never start again; those who wait are refused.
    ///
    /// Parameters: `discards` if its data is removed afterwards, so that it need not be in order.
    void close(bool discards = false) {
        closed_ = true;
        discards_ = discards_ || discards;
        sleep_now();
    }
    /// Whether its end need not be in order.
    bool discards() const { return discards_; }

    orders decide(time_point now);

    state current() const { return state_; }
    /// Counts starts; admitted connections belong to the current one.
    std::uint64_t life() const { return life_; }
    std::size_t waiting() const { return waiting_; }
    std::size_t connected() const { return connected_; }
    /// Whether it exited too often and is not tried now.
    bool is_broken(time_point now) const { return broken_until_ && now < *broken_until_; }

private:
    /// What is known of the work that `orders::put_right` asked for.
    enum class righting { no, under_way, overtaken, good, failed };

    void ask_to_stop(orders& result, time_point now);

    settings options_;
    state state_ = state::asleep;
    stop stop_asked_ = stop::no;
    std::uint64_t life_ = 0;
    std::size_t waiting_ = 0;
    std::size_t connected_ = 0;
    duration patience_{};  ///< of a stop of this life
    int quick_exits_ = 0;
    righting righting_ = righting::no;
    bool left_right_ = false;
    bool must_sleep_ = false;
    bool closed_ = false;
    bool discards_ = false;
    time_point started_at_{};
    time_point empty_since_{};
    time_point stop_asked_at_{};
    std::optional<time_point> broken_until_;
};

inline dormancy::orders dormancy::decide(time_point now) {
    orders result;
    if (waiting_ > 0 && (closed_ || (state_ == state::asleep && is_broken(now)))) {
        result.refuse = true;
        waiting_ = 0;
    }
    switch (state_) {
        case state::asleep:
            if (waiting_ > 0) {
                state_ = state::waking;
                ++life_;
                result.start = true;
            }
            break;
        case state::waking:
            // Its start may hang, so nobody waits for it to end.
            if (must_sleep_) {
                patience_ = options_.starting_patience;
                ask_to_stop(result, now);
            }
            break;
        case state::awake:
            if (must_sleep_) {
                if (discards_) patience_ = options_.parting_patience;
                ask_to_stop(result, now);
            } else if (waiting_ > 0) {
                result.admit = true;
                connected_ += waiting_;
                waiting_ = 0;
                const bool is_busy =
                    righting_ == righting::under_way || righting_ == righting::overtaken;
                righting_ = is_busy ? righting::overtaken : righting::no;
            } else if (connected_ == 0) {
                if (now < empty_since_ + options_.sleep_after) {
                    result.next = empty_since_ + options_.sleep_after;
                } else if (righting_ == righting::no) {
                    righting_ = righting::under_way;
                    result.put_right = true;
                } else if (righting_ == righting::good || righting_ == righting::failed) {
                    ask_to_stop(result, now);
                }
            }
            break;
        case state::falling_asleep:
            // Begun in order, it need not end so any more.
            if (discards_ && stop_asked_ == stop::fast) patience_ = options_.parting_patience;
            ask_to_stop(result, now);
            break;
    }
    return result;
}

inline void dormancy::ask_to_stop(orders& result, time_point now) {
    if (stop_asked_ == stop::no || now >= stop_asked_at_ + patience_) {
        switch (stop_asked_) {
            case stop::no:
                // Sessions are told; where there are none, no checkpoint is waited for.
                stop_asked_ = discards_ && connected_ == 0 ? stop::immediate : stop::fast;
                break;
            case stop::fast:
                stop_asked_ = stop::immediate;
                if (discards_) patience_ = options_.starting_patience;
                break;
            case stop::immediate:
            case stop::kill: stop_asked_ = stop::kill; break;
        }
        result.stop = stop_asked_;
        stop_asked_at_ = now;
    }
    state_ = state::falling_asleep;
    result.next = stop_asked_at_ + patience_;
}

}  // namespace bitdotio
