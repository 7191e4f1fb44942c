// The pool's policy under random schedules of all that can happen to it, judged after each event by
// a model that knows only the promises.
#include "pool/pool_state.hpp"

#include "simulation/chance.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using bitdotio::close_reason;
using bitdotio::dial_verdict;
using bitdotio::refusal;
using test::chance;
using state = bitdotio::pool_state<int>;
using time_point = state::time_point;

enum class place { idle, lent, probed };

struct connection {
    place where;
    std::uint64_t generation;
    time_point dies_early, dies_late;  // its lifetime ends in between
    time_point since, heard, asked, opened;
    bool dead = false;  // the look before lending sees it
};

struct waiter {
    state::ticket who;
    time_point came;
    time_point deadline;  // of the pool
    bool extendable;
    time_point until;       // its own
    time_point newer_than;  // what it may be lent

    bool may_have(const connection& one) const { return one.opened >= newer_than; }
};

struct flight {
    std::uint64_t generation;
};

class world {
public:
    world(std::uint64_t seed, bool loud)
        : chance_(seed), loud_(loud), settings_(random_settings()), pool_(settings_) {}

    void run() {
        const std::size_t events = 20 + chance_.below(80);
        for (std::size_t i = 0; i < events; ++i) {
            something_happens();
        }
        end_well();
    }

    std::size_t events() const { return events_; }

private:
    state::settings random_settings() {
        state::settings s;
        s.max_size = 1 + chance_.below(5);
        s.min_size = chance_.one_in(3) ? chance_.below(s.max_size) : 0;
        s.max_waiters = chance_.one_in(4) ? 1 + chance_.below(4) : 0;
        s.max_connecting = 1 + chance_.below(4);
        s.idle_timeout = 20s;
        s.max_lifetime = 60s;
        s.probe_after = chance_.one_in(4) ? 0s : 5s;
        s.wake_timeout = chance_.one_in(4) ? std::chrono::seconds(chance_.below(20)) : 60s;
        s.breaker_after = chance_.one_in(4) ? 0s : 60s;
        return s;
    }

    void require(bool holds, const char* promise) {
        if (!holds) {
            throw std::logic_error(promise);
        }
    }
    void say(const std::string& text) {
        if (loud_) {
            std::cout << "  "
                      << std::chrono::duration_cast<std::chrono::milliseconds>(
                             now_.time_since_epoch())
                             .count()
                      << " ms: " << text << "\n";
        }
    }

    // ---- what happens

    void something_happens() {
        switch (chance_.below(18)) {
            case 0:
            case 1:
            case 2: return arrive();
            case 3: return leave();
            case 4:
            case 5: return come_back();
            case 6:
            case 7:
            case 8: return dial_ends(chance_.below(3) != 0);
            case 9: return probe_ends(chance_.below(3) != 0);
            case 10: return die();
            case 11: return seem_dead();
            case 12:
            case 13: return pass(std::chrono::milliseconds(chance_.below(3'000)));
            case 14: return pass(std::chrono::milliseconds(chance_.below(120'000)));
            case 15: return resize();
            case 16: return chance_.one_in(2) ? reset() : distrust();
            case 17: return chance_.one_in(8) ? drain() : wait_for_timer();
        }
    }

    void arrive() {
        const state::ticket who = ++last_ticket_;
        const auto deadline = now_ + std::chrono::milliseconds(1 + chance_.below(40'000));
        const bool extendable = chance_.one_in(2);
        const bool unasked = waiting_.empty() && flights_.empty();
        state::wish wanted;
        if (chance_.one_in(4)) {
            wanted.until = now_ + std::chrono::milliseconds(chance_.below(20'000));
        }
        if (chance_.one_in(4)) {
            wanted.newer_than = now_;
        }
        wanted.goes_on = chance_.one_in(4);
        const auto refused = pool_.enqueue(who, now_, deadline, extendable, wanted);
        say("arrives " + std::to_string(who) + (refused ? ", refused" : ""));
        if (failing_ && !pool_.is_waking()) {
            require(unasked && now_ - last_failure_ > 30s, "failures are forgotten when stale");
            failing_ = false;
        }
        if (!refused) {
            require(!closed_, "a closed pool lets nobody in");
            require(!draining_ || wanted.goes_on,
                    "a closing pool lets in who goes on, and no more");
            waiting_.push_back({who, now_, deadline, extendable, wanted.until, wanted.newer_than});
        } else if (*refused == refusal::broken) {
            require(connections_.empty(), "what is open is lent, however dialling fails");
            require(failing_ && now_ - failing_since_ >= 60s, "it takes a minute to be broken");
            asked_ = true;
        } else if (*refused == refusal::queue_full) {
            require(settings_.max_waiters != 0 && waiting_.size() >= settings_.max_waiters,
                    "only a full queue is full");
        } else if (*refused == refusal::fatal) {
            require(now_ - fatal_at_ < 250ms, "a fatal failure is remembered for a moment only");
        } else {
            require(closed_ || (draining_ && !wanted.goes_on), "who comes is let in");
            require(*refused == refusal::closed, "who comes is let in");
        }
        obey();
    }

    void leave() {
        if (waiting_.empty()) return;
        const auto one = waiting_.begin() + static_cast<long>(chance_.below(waiting_.size()));
        say("leaves " + std::to_string(one->who));
        require(pool_.forget(one->who), "who waits may leave");
        require(!pool_.forget(one->who), "nobody leaves twice");
        waiting_.erase(one);
        obey();
    }

    int any(place where) {
        std::vector<int> all;
        for (const auto& [what, one] : connections_) {
            if (one.where == where) all.push_back(what);
        }
        return all.empty() ? 0 : all[chance_.below(all.size())];
    }

    void come_back() {
        const int what = any(place::lent);
        if (what == 0) return;
        if (chance_.one_in(5)) {
            say("comes back broken " + std::to_string(what));
            connections_.erase(what);
            pool_.lost(what);
        } else {
            say("comes back " + std::to_string(what));
            rest(what, true);
            pool_.returned(what, now_);
        }
        obey();
    }

    void rest(int what, bool used) {
        connection& one = connections_.at(what);
        one.where = place::idle;
        one.heard = now_;
        if (used) one.since = now_;
    }

    void dial_ends(bool well) {
        if (flights_.empty()) return;
        const auto one = flights_.begin() + static_cast<long>(chance_.below(flights_.size()));
        const flight ended = *one;
        flights_.erase(one);
        if (well) {
            const int what = ++last_connection_;
            say("opened " + std::to_string(what));
            connections_[what] = {
                place::idle, ended.generation, now_ + 54s, now_ + 66s, now_, now_, {}, now_};
            pool_.dialled(what, ended.generation, now_, chance_.fraction());
            failing_ = false;
            fatal_at_ = {};
        } else if (is_over()) {
            pool_.dial_abandoned();
        } else {
            const auto verdict = static_cast<dial_verdict>(chance_.below(3));
            say("dial fails, verdict " + std::to_string(static_cast<int>(verdict)));
            pool_.dial_failed(verdict, now_, chance_.fraction());
            if (verdict == dial_verdict::fatal) {
                failing_ = false;
                fatal_at_ = now_;
            } else {
                if (!failing_) failing_since_ = now_;
                failing_ = true;
                busy_ = verdict == dial_verdict::busy;
                last_failure_ = now_;
            }
        }
        obey();
    }

    void probe_ends(bool well) {
        const int what = any(place::probed);
        if (what == 0) return;
        say((well ? "answers " : "does not answer ") + std::to_string(what));
        if (well) {
            rest(what, false);
        } else {
            suspect_until_ = std::max(suspect_until_, connections_.at(what).asked);
            connections_.erase(what);
        }
        pool_.probed(what, well, now_);
        obey();
    }

    void die() {
        const int what = any(place::idle);
        if (what == 0) return;
        say("dies " + std::to_string(what));
        require(pool_.died(what), "an idle connection may die");
        require(!pool_.died(what), "none dies twice");
        connections_.erase(what);
        if (chance_.one_in(2)) pool_.ended_by_server(now_);
        obey();
    }

    void seem_dead() {
        const int what = any(place::idle);
        if (what != 0) connections_.at(what).dead = true;
    }

    void resize() {
        settings_.max_size = 1 + chance_.below(5);
        settings_.min_size = chance_.one_in(3) ? chance_.below(settings_.max_size) : 0;
        say("at most " + std::to_string(settings_.max_size) + " from now on");
        pool_.resize(settings_.min_size, settings_.max_size);
        obey();
    }

    void reset() {
        say("reset");
        pool_.reset();
        ++generation_;
        obey();
    }

    void distrust() {
        say("distrusts what is idle");
        pool_.distrust_idle();
        obey();
    }

    // The time to drain may be up at once.
    void drain() {
        say("lets nobody in any more");
        pool_.drain();
        draining_ = true;
        obey();
        if (chance_.one_in(3)) close();
    }

    void close() {
        say("closes");
        pool_.close();
        draining_ = closed_ = true;
        obey();
    }

    bool is_over() const { return closed_ || (draining_ && waiting_.empty()); }

    // Timers fire in time; no decision comes later than the pool asked for.
    void pass(std::chrono::milliseconds time) {
        const auto end = now_ + time;
        while (next_ && *next_ <= end) {
            now_ = std::max(now_, *next_);
            const auto before = next_;
            obey();
            require(next_ != before || !next_ || *next_ > now_, "a timer is not set in the past");
        }
        now_ = std::max(now_, end);  // a timer may have been due at once
    }

    void wait_for_timer() {
        if (next_) pass(std::chrono::duration_cast<std::chrono::milliseconds>(*next_ - now_) + 1ms);
    }

    // ---- what is promised

    void obey() {
        ++events_;
        const std::size_t flying = flights_.size();
        const std::size_t wanting = waiting_.size();
        const bool somebody_wants = !waiting_.empty() || settings_.min_size > 0 || asked_;
        const auto looks_alive = [this](int what) { return !connections_.at(what).dead; };
        const state::orders orders = pool_.decide(now_, looks_alive);
        for (const auto& [who, what] : orders.lend) {
            lent(who, what);
        }
        for (const int what : orders.probe) {
            say("probes " + std::to_string(what));
            connection& one = connections_.at(what);
            require(one.where == place::idle, "only what is idle is probed");
            one.where = place::probed;
            one.asked = now_;
        }
        require(orders.probe.empty() || pool_.probing() <= wanting,
                "no more are probed than are wanted");
        for (const auto& [what, why] : orders.close) {
            closed(what, why);
        }
        for (const state::refused& one : orders.refuse) {
            refused(one);
        }
        for (const auto& [what, why] : orders.close) {
            require(why != close_reason::pool_closed || is_over(),
                    "a pool serves those who wait before it is closed");
        }
        dialled(orders.dials, flying, somebody_wants);
        next_ = orders.next;
        add_up();
        nobody_is_forgotten();
    }

    void lent(state::ticket who, int what) {
        say("lends " + std::to_string(what) + " to " + std::to_string(who));
        require(!closed_, "a closed pool lends nothing");
        require(!waiting_.empty(), "only who waits is lent something");
        require(connections_.count(what) == 1, "what is lent is open");
        connection& one = connections_.at(what);
        const auto first = std::find_if(waiting_.begin(), waiting_.end(),
                                        [&](const waiter& w) { return w.may_have(one); });
        require(first != waiting_.end() && first->who == who,
                "first come, first served, of those for whom it is new enough");
        waiting_.erase(first);
        require(one.where == place::idle, "nothing is lent twice");
        require(!one.dead, "nothing is lent that is seen to be dead");
        require(one.generation == generation_, "nothing from before a reset is lent");
        require(now_ < one.dies_late, "nothing is lent that is too old");
        require(settings_.probe_after == 0s || now_ - one.heard < settings_.probe_after,
                "nothing is lent that was not heard of for long");
        require(one.heard > suspect_until_, "nothing is lent that may be as silent as another");
        one.where = place::lent;
    }

    void refused(const state::refused& one) {
        say("refuses " + std::to_string(one.who) + ", why " +
            std::to_string(static_cast<int>(one.why)));
        const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                        [&](const waiter& w) { return w.who == one.who; });
        require(found != waiting_.end(), "only who waits is refused, and once");
        switch (one.why) {
            case refusal::closed: require(closed_, "only a closed pool is closed"); break;
            case refusal::fatal:
                require(fatal_at_ == now_, "fatal failures go to all at once");
                break;
            case refusal::broken:
            case refusal::queue_full: require(false, "who was let in is not turned away"); break;
            case refusal::timed_out:
            case refusal::waking:
            case refusal::busy:
                require(one.by_caller == (found->until <= now_), "whose time was up is told");
                if (found->until <= now_) break;
                if (!found->extendable || one.why != refusal::waking) {
                    require(found->deadline <= now_, "nobody is refused before the time is up");
                    break;
                }
                require(now_ - failing_since_ >= settings_.wake_timeout,
                        "who leaves it to the database waits for it to wake");
                require(found->deadline <= now_ ||
                            (connections_.empty() && now_ - found->came >= settings_.wake_timeout),
                        "a wake is waited for as long as it may take");
                break;
        }
        asked_ = asked_ || (one.why == refusal::waking && now_ < found->deadline);
        waiting_.erase(found);
    }

    void closed(int what, close_reason why) {
        say("closes " + std::to_string(what) + ": " + std::string(to_string(why)));
        require(connections_.count(what) == 1, "nothing is closed twice");
        const connection one = connections_.at(what);
        require(one.where == place::idle, "nothing is closed under its borrower");
        connections_.erase(what);
        switch (why) {
            case close_reason::idle:
                require(now_ - one.since >= settings_.idle_timeout, "idle is idle");
                require(connections_.size() + flights_.size() >= settings_.min_size,
                        "the minimum is kept");
                break;
            case close_reason::aged: require(now_ >= one.dies_early, "aged is aged"); break;
            case close_reason::dead: require(one.dead, "dead is dead"); break;
            case close_reason::pool_reset:
                require(one.generation != generation_, "a reset is a reset");
                break;
            case close_reason::pool_shrunk:
                require(connections_.size() + flights_.size() >= settings_.max_size,
                        "only what is too much is too much");
                break;
            case close_reason::pool_closed:
                require(draining_, "only a closed pool is closed");
                break;
            case close_reason::evicted: break;
            case close_reason::broken: require(false, "the state never sees that"); break;
        }
    }

    void dialled(std::size_t dials, std::size_t flying, bool somebody_wants) {
        if (dials == 0) return;
        say("dials " + std::to_string(dials));
        require(!is_over(), "a closed pool does not dial");
        require(somebody_wants, "nothing is dialled, and nobody woken, without need");
        require(flying + dials <= std::max<std::size_t>(settings_.max_connecting, 1),
                "so many dials at once and no more");
        if (failing_) {
            require(flying == 0 && dials == 1, "one prober while dialling fails");
            require(now_ - last_failure_ >= (busy_ ? 100ms : 50ms), "with pauses in between");
        }
        asked_ = false;
        for (; dials > 0; --dials) {
            flights_.push_back({generation_});
        }
        require(connections_.size() + flights_.size() <= settings_.max_size,
                "never above the maximum");
    }

    void add_up() {
        std::size_t idle = 0, lent = 0, probed = 0;
        for (const auto& [what, one] : connections_) {
            (one.where == place::idle ? idle : one.where == place::lent ? lent : probed) += 1;
        }
        require(pool_.idle() == idle, "counts add up: idle");
        require(pool_.used() == lent, "counts add up: used");
        require(pool_.probing() == probed, "counts add up: probing");
        require(pool_.dialling() == flights_.size(), "counts add up: dialling");
        require(pool_.waiting() == waiting_.size(), "counts add up: waiting");
        require(pool_.size() == connections_.size() + flights_.size(), "counts add up: size");
    }

    void nobody_is_forgotten() {
        require(!closed_ || waiting_.empty(), "nobody waits for a closed pool");
        for (const waiter& w : waiting_) {
            const bool longer = w.extendable && failing_ && !busy_ &&
                                now_ - failing_since_ < settings_.wake_timeout;
            require(w.deadline > now_ || longer, "nobody waits past the deadline");
            require(w.until > now_, "nobody waits past a deadline of their own");
        }
        require(waiting_.empty() || next_.has_value(), "somebody who waits has a timer");
        std::size_t healthy = 0;
        std::set<state::ticket> beside;
        for (const auto& [what, one] : connections_) {
            if (one.where != place::idle || one.dead) continue;
            ++healthy;
            for (const waiter& w : waiting_) {
                if (w.may_have(one)) beside.insert(w.who);
            }
        }
        require(beside.size() <= pool_.probing(), "nobody waits beside what is free");
        require(healthy == 0 || connections_.size() + flights_.size() <= settings_.max_size,
                "what is too much does not rest");
        require(!is_over() || healthy == 0, "nothing rests in a closed pool");
    }

    // From here on all goes well: every waiter is served, and a closed pool becomes empty.
    void end_well() {
        for (int round = 0; round < 300 && !waiting_.empty(); ++round) {
            wait_for_timer();
            while (any(place::probed) != 0)
                probe_ends(true);
            while (!flights_.empty())
                dial_ends(true);
            give_all_back();
        }
        require(waiting_.empty(), "nobody is stuck in the end");
        if (!closed_) close();
        while (any(place::probed) != 0)
            probe_ends(true);
        while (!flights_.empty())
            dial_ends(false);
        give_all_back();
        require(pool_.size() == 0 && connections_.empty(), "a closed pool gets empty");
        require(!next_, "a closed pool waits for nothing");
    }

    void give_all_back() {
        for (int what = any(place::lent); what != 0; what = any(place::lent)) {
            rest(what, true);
            pool_.returned(what, now_);
            obey();
        }
    }

    chance chance_;
    const bool loud_;
    state::settings settings_;
    state pool_;
    time_point now_{1'000s};
    std::optional<time_point> next_;
    std::map<int, connection> connections_;
    std::vector<waiter> waiting_;
    std::vector<flight> flights_;
    std::uint64_t generation_ = 0;
    state::ticket last_ticket_ = 0;
    int last_connection_ = 0;
    bool draining_ = false;
    bool closed_ = false;
    bool asked_ = false;
    bool failing_ = false;
    bool busy_ = false;
    time_point suspect_until_{};
    time_point failing_since_{}, last_failure_{}, fatal_at_{};
    std::size_t events_ = 0;
};

TEST_CASE("no schedule of events breaks a promise of the pool") {
    test::simulate<world>();
}

}  // namespace
