// The multiplexer's policy under random schedules of all that can happen to it, judged after each
// event by a model that knows only the promises.
#include "pool/multiplexer_state.hpp"

#include "simulation/chance.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using bitdotio::later;
using bitdotio::multiplexer_rules;
using bitdotio::multiplexer_state;
using bitdotio::multiplexer_terms;
using test::chance;
using time_point = multiplexer_terms::time_point;

// What the pages promise, in numbers of their own.
constexpr auto slow_head = 50ms;
constexpr auto between_looks = 50ms;
constexpr auto linger = 100ms;
constexpr auto deserted = 1s;
constexpr auto pause_of_growth = 500ms;
constexpr std::size_t enough = 16;

void require(bool holds, const char* promise) {
    if (!holds) {
        throw std::logic_error(promise);
    }
}

struct caller {
    int id = 0;
    time_point came{};
    time_point waits_since{};  // kept by the policy
    time_point since{};        // the same, as the model knows it
    bool left = false;
    bool told = false;
    bool sent = false;

    bool is_over() const { return left || told; }
    void tell() {
        require(!told, "nobody is told twice");
        told = true;
    }
};
using caller_ptr = std::shared_ptr<caller>;

// A connection, as far as the policy sees it.
class connection {
public:
    connection(const time_point& now, int number_)
        : number(number_), opened(now), used(now), now_(now) {}

    void hand_over(caller_ptr one) {
        require(!ends, "what goes back is given no more");
        used = now_;
        unsent.push_back(std::move(one));
    }
    std::uint64_t finished() const { return finished_; }
    bool takes_more() const { return takes; }
    std::optional<time_point> head_since() const { return head; }
    void want_room() { wants_room = true; }
    void end() {
        require(!ends, "a connection is ended once");
        ends = true;
    }
    void cut_if_deserted() { cut_asked = true; }

    std::size_t load() const { return unsent.size() + sent.size(); }
    bool has_room(std::size_t in_flight) const {
        return !ends && takes && load() < in_flight && (!head || now_ - *head <= slow_head);
    }

    void send(std::size_t most) {
        while (most-- > 0 && !unsent.empty()) {
            const caller_ptr one = unsent.front();
            unsent.erase(unsent.begin());
            if (one->is_over()) {
                ++finished_;
                used = now_;
                continue;
            }
            one->sent = true;
            sent.push_back(one);
        }
        if (!head && !sent.empty()) head = now_;
    }
    void answer(std::size_t most) {
        while (most-- > 0 && !sent.empty()) {
            if (!sent.front()->left) sent.front()->tell();
            sent.erase(sent.begin());
            ++finished_;
            used = now_;
            head = sent.empty() ? std::nullopt : std::optional(now_);
        }
    }

    const int number;
    const time_point opened;
    time_point used;
    std::vector<caller_ptr> unsent, sent;
    std::optional<time_point> head;
    bool takes = true, ends = false, wants_room = false, cut_asked = false;

private:
    const time_point& now_;
    std::uint64_t finished_ = 0;
};
using line = std::shared_ptr<connection>;
using state = multiplexer_state<caller_ptr, line>;

struct opening {
    time_point since;
    time_point began;
    time_point fails;    // if nothing comes free before
    bool asked = false;  // it was borrowed, and is asked whether a pooler is in between
};

class world {
public:
    world(std::uint64_t seed, bool loud)
        : chance_(seed), loud_(loud), settings_(random_settings()), state_(settings_) {}

    void run() {
        max_size_ = settings_.connections + chance_.below(3);
        const std::size_t events = 20 + chance_.below(80);
        for (std::size_t i = 0; i < events; ++i) {
            something_happens();
            judge();
        }
        end_well();
    }

    std::size_t events() const { return events_; }

private:
    state::settings random_settings() {
        state::settings s;
        s.connections = 1 + chance_.below(4);
        s.in_flight = chance_.one_in(3) ? 1 + chance_.below(40) : 1 + chance_.below(4);
        s.max_waiters = chance_.one_in(4) ? 1 + chance_.below(5) : 0;
        s.patience = std::chrono::milliseconds(100 + chance_.below(3'000));
        s.is_fixed = chance_.one_in(2);
        s.longest_lease = chance_.one_in(2) ? 2s : 30s;
        return s;
    }

    void say(const std::string& text) {
        if (loud_) {
            const auto ms =
                std::chrono::duration_cast<std::chrono::milliseconds>(now_.time_since_epoch());
            std::cout << "  " << ms.count() << " ms: " << text << "\n";
        }
    }

    // ---- what happens

    void something_happens() {
        ++events_;
        switch (chance_.below(20)) {
            case 0:
            case 1:
            case 2: return arrive(1 + (chance_.one_in(4) ? chance_.below(40) : chance_.below(3)));
            case 3: return leave();
            case 4: return storm();
            case 5:
            case 6:
            case 7: return a_line_moves();
            case 8: return a_line_breaks();
            case 9: return a_line_takes_no_more();
            case 10:
            case 11:
            case 12: return opening_goes_on();
            case 13: return opening_fails();
            case 14:
            case 15:
            case 16: return pass(std::chrono::milliseconds(chance_.below(60)));
            case 17: return pass(std::chrono::milliseconds(chance_.below(2'500)));
            case 18:
                own_waiting_ = chance_.below(3);
                say(std::to_string(own_waiting_) + " wait for a connection of their own");
                return obey();
            case 19:
                if (chance_.one_in(8)) {
                    say("drains");
                    state_.drain();
                } else if (chance_.one_in(3)) {
                    say("retires");
                    state_.retire();
                }
                return obey();
        }
    }

    void arrive(std::size_t count) {
        if (state_.is_draining()) return;
        say(std::to_string(count) + " arrive");
        for (std::size_t i = 0; i < count; ++i) {
            const auto one = std::make_shared<caller>();
            one->id = ++last_;
            one->came = one->since = now_;
            all_.push_back(one);
            state_.arrives(one);
        }
        obey();
    }

    void leave() {
        std::vector<caller_ptr> here = present();
        if (here.empty()) return;
        const caller_ptr one = here[chance_.below(here.size())];
        say("leaves " + std::to_string(one->id));
        one->left = true;
        stirred_ = now_;
        if (!one->sent) state_.forget_left();
        obey();
    }

    // A cancellation of many at once.
    void storm() {
        say("a storm of cancellations");
        for (const caller_ptr& one : present()) {
            if (!chance_.one_in(4)) one->left = true;
        }
        stirred_ = now_;
        state_.forget_left();
        obey();
    }

    line any_line() { return lines_.empty() ? nullptr : lines_[chance_.below(lines_.size())]; }

    void a_line_moves() {
        const line one = any_line();
        if (!one) return;
        const std::uint64_t before = one->finished();
        stirred_ = now_;
        one->send(chance_.one_in(3) ? chance_.below(4) : 1'000);
        one->answer(chance_.one_in(3) ? 1'000 : chance_.below(6));
        say(std::to_string(one->number) + " moves, " + std::to_string(one->load()) + " left");
        after_moving(one, before);
    }

    void after_moving(const line& one, std::uint64_t before) {
        if (one->ends && one->load() == 0) {
            remove(one, {}, state::line_end::well);
        } else if (one->finished() != before && std::exchange(one->wants_room, false)) {
            obey();
        }
    }

    // The callers of what was sent learn that it is unknown; the rest is handed back.
    void a_line_breaks() {
        const line one = any_line();
        if (!one) return;
        if (one->sent.empty() && chance_.one_in(2)) {
            return remove(one, std::exchange(one->unsent, {}),
                          chance_.one_in(2) ? state::line_end::lost : state::line_end::unfit);
        }
        one->answer(1'000);
        remove(one, std::exchange(one->unsent, {}), state::line_end::well);
    }

    void remove(const line& one, std::vector<caller_ptr> unsent, state::line_end how) {
        say(std::to_string(one->number) + " is shared no more, " + std::to_string(unsent.size()) +
            " unsent");
        unfit_ = how == state::line_end::unfit  ? unfit_ + 1
                 : how == state::line_end::well ? 0
                                                : unfit_;
        std::erase(lines_, one);
        for (const caller_ptr& who : unsent) {
            who->since = now_;
        }
        state_.line_ended(one, std::move(unsent), how, now_, [&](const caller_ptr& who) {
            require(unfit_ >= 3,
                    "a statement is told of what it was not sent on after three times");
            if (!who->is_over()) who->tell();
        });
        if (unfit_ >= 3) unfit_ = 0;
        obey();
    }

    void a_line_takes_no_more() {
        const line one = any_line();
        if (!one || !chance_.one_in(2)) return;
        say(std::to_string(one->number) + " takes no more");
        one->takes = false;
        obey();
    }

    void opening_goes_on() {
        if (!opening_) return;
        if (!opening_->asked) {
            opening_->asked = true;
            say("one is borrowed, and asked");
            return;
        }
        opening_.reset();
        lines_.push_back(std::make_shared<connection>(now_, ++last_line_));
        say("opened " + std::to_string(last_line_));
        state_.opened(lines_.back(), now_);
        obey();
    }

    void opening_fails() {
        if (!opening_ || opening_->asked) return;
        if (state_.wants_none()) {
            return end_opening(state::opening_end::abandoned);
        }
        switch (chance_.below(4)) {
            case 0: return end_opening(state::opening_end::for_all);
            case 1: return end_opening(state::opening_end::full);
            default: return;
        }
    }

    void end_opening(state::opening_end how) {
        const opening was = *std::exchange(opening_, std::nullopt);
        say("none is borrowed: " + std::to_string(static_cast<int>(how)));
        if (!lines_.empty()) growth_pauses_until_ = now_ + pause_of_growth + between_looks;
        state_.not_opened(how, now_, [&](const caller_ptr& who) {
            require(lines_.empty(), "nobody is told while others are served");
            require(how != state::opening_end::abandoned, "nobody is told of what nobody wanted");
            const bool in_time = later(who->since, settings_.patience) > now_;
            require(how == state::opening_end::for_all || who->since <= was.since || !in_time ||
                        (how == state::opening_end::full && who->since <= was.began),
                    "who has time left goes on waiting");
            if (settings_.is_fixed && how == state::opening_end::late) {
                require(!in_time, "nobody is told too early that it is late");
            }
            if (!who->is_over()) who->tell();
        });
        obey();
    }

    auto refusing() {
        return [this](const caller_ptr& one, state::refusal why) {
            say("refuses " + std::to_string(one->id));
            require(!one->is_over(), "who is over is not refused");
            if (why == state::refusal::queue_full) {
                require(settings_.max_waiters != 0 && waiting().size() > settings_.max_waiters,
                        "only a full queue is full");
                require(one->came >= waiting().back()->came, "the last to come is refused");
            } else {
                require(later(one->since, settings_.patience) <= now_, "who has time left waits");
            }
            one->tell();
        };
    }

    // ---- time

    void pass(std::chrono::milliseconds time) {
        const time_point end = now_ + time;
        while (true) {
            const bool rings = wake_ && *wake_ <= end;
            const bool fails = opening_ && !opening_->asked && opening_->fails <= end;
            if (!rings && !fails) break;
            if (fails && (!rings || opening_->fails <= *wake_)) {
                now_ = std::max(now_, opening_->fails);
                end_opening(state::opening_end::late);
            } else {
                now_ = std::max(now_, *wake_);
                ring();
            }
            judge();
        }
        now_ = end;
    }

    void ring() {
        wake_.reset();
        state_.look(now_, beside(), refusing());
        for (std::size_t i = 0; i < lines_.size();) {  // those that are deserted are cut
            const line one = lines_[i];
            const bool is_awaited = std::any_of(one->sent.begin(), one->sent.end(),
                                                [](const caller_ptr& who) { return !who->left; });
            if (std::exchange(one->cut_asked, false) && !is_awaited && one->unsent.empty()) {
                one->answer(1'000);
                remove(one, {}, state::line_end::well);
            } else {
                ++i;
            }
        }
        obey();
    }

    // ---- what is done about it, in the order in which the multiplexer does it

    state::others beside() const {
        state::others all;
        all.waiting = own_waiting_ + (opening_ && !opening_->asked ? 1 : 0);
        all.max_size = max_size_;
        return all;
    }

    void obey() {
        const auto handed = [&](const caller_ptr& one) {
            require(!one->is_over(), "who has left is not served");
            require(one->came <= waiting().front()->came, "first come, first served");
            least_ = settings_.in_flight;
            for (const line& each : lines_) {
                if (each->has_room(settings_.in_flight)) least_ = std::min(least_, each->load());
            }
            require(least_ < settings_.in_flight, "what is handed out has a place");
            loads_ = loads();
        };
        // Between the two calls: who was handed over went where the least are in flight.
        const auto handed_and_seen = [&](const caller_ptr& one) {
            see_last();
            handed(one);
            handing_ = true;
        };
        state_.obey(now_, beside(), handed_and_seen, refusing());
        see_last();
        if (state_.wants_another(now_)) {
            require(!opening_, "one at a time");
            const bool all_have_enough =
                std::none_of(lines_.begin(), lines_.end(), [&](const line& each) {
                    return each->has_room(settings_.in_flight) && each->load() < enough;
                });
            require(!waiting().empty() || (all_have_enough && !lines_.empty()),
                    "none is borrowed without need");
            const time_point since = state_.opening_begins(now_);
            require(since <= now_, "a wait does not count from later");
            opening_ = opening{since, now_, later(since, settings_.patience), false};
            if (!settings_.is_fixed)
                opening_->fails += std::chrono::milliseconds(chance_.below(9'000));
            say("one is to be borrowed");
        }
        const auto next = state_.next_look(now_);
        if (next && (!wake_ || *next < *wake_)) wake_ = next;
    }

    std::vector<std::size_t> loads() const {
        std::vector<std::size_t> all;
        for (const line& each : lines_) {
            all.push_back(each->load());
        }
        return all;
    }

    void see_last() {
        if (!std::exchange(handing_, false)) return;
        for (std::size_t i = 0; i < lines_.size(); ++i) {
            if (lines_[i]->load() != loads_[i]) {
                require(loads_[i] == least_, "the one with the least in flight takes the next");
                return;
            }
        }
        throw std::logic_error("what is handed out arrives");
    }

    // ---- the promises

    std::vector<caller_ptr> present() const {
        std::vector<caller_ptr> here;
        for (const caller_ptr& one : all_) {
            if (!one->is_over()) here.push_back(one);
        }
        return here;
    }

    // Those on no connection, in the order in which they came.
    std::vector<caller_ptr> waiting() const {
        std::vector<caller_ptr> here = present();
        std::erase_if(here, [&](const caller_ptr& one) {
            return one->sent || std::any_of(lines_.begin(), lines_.end(), [&](const line& each) {
                       return std::find(each->unsent.begin(), each->unsent.end(), one) !=
                              each->unsent.end();
                   });
        });
        return here;
    }

    void judge() {
        const std::vector<caller_ptr> here = waiting();
        std::size_t lives = 0;
        bool one_is_free = false;
        bool one_ends = false;
        for (const line& one : lines_) {
            require(one->load() <= settings_.in_flight, "the bound in flight holds");
            lives += one->takes && !one->ends;
            one_ends = one_ends || one->ends;
            one_is_free = one_is_free || one->has_room(settings_.in_flight);
            const auto unused = now_ - one->used;
            require(one->ends || one->load() > 0 || unused <= linger + between_looks,
                    "what nobody uses goes back");
            require(one->ends || now_ - one->opened <= settings_.longest_lease + between_looks,
                    "what is old goes back");
            const bool is_deserted = one->unsent.empty() && one->head &&
                                     now_ - *one->head > deserted + between_looks &&
                                     std::all_of(one->sent.begin(), one->sent.end(),
                                                 [](const caller_ptr& who) { return who->left; });
            require(!is_deserted || now_ - stirred_ <= between_looks,
                    "what nobody waits for does not keep a connection");
        }
        require(lives + (opening_ ? 1 : 0) <= settings_.connections,
                "the bound of connections holds");
        require(here.empty() || !one_is_free, "nobody waits beside a free place");
        require(settings_.max_waiters == 0 || here.size() <= settings_.max_waiters,
                "no more wait than may");
        const bool pauses = !lines_.empty() && now_ < growth_pauses_until_;
        require(here.empty() || opening_ || lives >= settings_.connections || pauses,
                "one more is borrowed for those that wait");
        require(lines_.empty() || (wake_ && *wake_ <= now_ + between_looks),
                "connections are looked after");
        for (const caller_ptr& one : here) {
            require(!settings_.is_fixed ||
                        later(one->since, settings_.patience + linger + between_looks) >= now_,
                    "nobody waits much longer than acquire_timeout");
        }
        const bool in_the_way = own_waiting_ > 0 && lines_.size() >= max_size_ && !one_ends;
        if (!in_the_way) {
            in_the_way_since_.reset();
        } else if (!in_the_way_since_) {
            in_the_way_since_ = now_;
        }
        require(!in_the_way || now_ - *in_the_way_since_ <= between_looks,
                "who needs a connection of its own gets one");
        require(state_.waiting() >= here.size(), "nobody is forgotten");
        require(state_.lines() == lines_.size(), "counts add up");
    }

    void serve_all() {
        for (const line& one : std::vector<line>(lines_)) {
            const std::uint64_t before = one->finished();
            one->send(1'000);
            one->answer(1'000);
            after_moving(one, before);
        }
        judge();
        pass(10ms);
    }

    // From here on all goes well: every caller is served, and nothing is left in the end.
    void end_well() {
        own_waiting_ = 0;
        for (int round = 0; round < 2'000 && !present().empty(); ++round) {
            opening_goes_on();
            serve_all();
        }
        require(present().empty(), "nobody is stuck in the end");
        state_.drain();
        obey();
        for (int round = 0; round < 100 && !state_.is_drained(); ++round) {
            if (opening_ && state_.wants_none()) end_opening(state::opening_end::abandoned);
            opening_goes_on();
            serve_all();
        }
        require(state_.is_drained(), "a closed pool gets empty");
        require(lines_.empty() && !opening_, "a closed pool has no connection");
    }

    chance chance_;
    const bool loud_;
    const state::settings settings_;
    state state_;
    time_point now_{1'000s};
    std::optional<time_point> wake_;
    std::vector<caller_ptr> all_;
    std::vector<line> lines_;
    std::optional<opening> opening_;
    std::size_t max_size_ = 1;
    std::size_t own_waiting_ = 0;
    time_point stirred_{};  // a caller left, or a connection moved
    std::optional<time_point> in_the_way_since_;
    time_point growth_pauses_until_{};
    int unfit_ = 0;
    int last_ = 0;
    int last_line_ = 0;
    bool handing_ = false;
    std::size_t least_ = 0;
    std::vector<std::size_t> loads_;
    std::size_t events_ = 0;
};

TEST_CASE("no schedule of events breaks a promise of the multiplexer") {
    test::simulate<world>(4);
}

}  // namespace
