// Hands statements to the connections that they share, and borrows and returns those.
#include "pool/multiplexer.hpp"

#include "pool/pool_core.hpp"
#include "pool/refusal_error.hpp"
#include "postgres/postgres_session.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace bitdotio {

namespace {

constexpr std::chrono::milliseconds default_patience{30'000};
constexpr std::size_t least_sweep = 64;
// Before another connection is asked for, while others serve.
constexpr std::chrono::milliseconds pause_after_failure{500};
// A statement goes from one connection to the next so often when none can be used at all.
constexpr int most_unfit = 3;

// Whether the number of the session is none of a process: a pooler gives numbers of its own. In
// transaction mode PgBouncer gives the parts of a statement to different servers if they come in
// two packets while others are in flight, and then answers are lost, or go to others.
bool is_numbered_by_a_pooler(int backend_pid) {
    return backend_pid < 1 || backend_pid > 4'194'304;
}

bool says_when(const error& why) {
    return why.code() == errc::acquire_timeout || why.code() == errc::database_asleep ||
           why.code() == errc::server_busy || why.code() == errc::queue_full;
}

std::chrono::milliseconds lease_time(const pool_options& options) {
    const auto longest = std::min(options.max_lifetime, multiplexer_rules::longest_lease);
    return options.leak_after.count() == 0 ? longest : std::min(longest, options.leak_after / 2);
}

}  // namespace

multiplexer::multiplexer(pool_core& core, asio::any_io_executor strand, const pool_options& options)
    : core_(core),
      strand_(std::move(strand)),
      rules_{options.multiplex->connections, options.multiplex->in_flight},
      patience_(options.acquire_timeout.value_or(default_patience)),
      max_waiters_(options.max_waiters),
      longest_lease_(lease_time(options)),
      sweep_at_(least_sweep),
      clock_(strand_) {}

// ---- from any thread

void multiplexer::ask(std::shared_ptr<multiplexed_statement> one) {
    // Others that come before it is looked into need not say so, and travel in one packet.
    if (box_.put(std::move(one))) {
        soon(&multiplexer::obey);
    }
}

void multiplexer::caller_left() noexcept {
    if (!some_left_.exchange(true)) {
        soon(&multiplexer::forget_left);
    }
}

void multiplexer::soon(void (multiplexer::*work)()) {
    post_work(strand_, guarded(errand(core_.weak_from_this(), work), core_.on_failure()));
}

void multiplexer::errand::operator()() {
    if (const auto core = std::exchange(pool_, {}).lock()) {
        ((*core->shared_connections()).*work_)();
    }
}

multiplexer::errand::~errand() {
    if (const auto core = pool_.lock()) {
        core->shared_connections()->abandon(nullptr);
    }
}

// ---- statements

// Every event ends here.
void multiplexer::obey() {
    const time_point now = std::chrono::steady_clock::now();
    take_box(now);
    hand_out(now);
    refuse_too_many(now);
    if (draining_) {
        look_after(now);
    }
    open_another(now);
    watch_clock(now);
}

void multiplexer::take_box(time_point now) {
    box_.take([&](std::shared_ptr<multiplexed_statement> one) {
        if (one->is_over()) {
            return;
        }
        if (is_off() || !texts_.may_share(one->sql().sql())) {
            one->step_aside();
            return;
        }
        if (draining_ && !one->goes_on) {
            one->fail(refusal_error(refusal::closed, core_.picture(now)));
            return;
        }
        one->came = now;
        if (one->until != no_deadline) {
            add_deadline(one->until, one);
        }
        waiting_.push_back(std::move(one));
    });
}

void multiplexer::hand_out(time_point now) {
    look_at_lines();
    do {
        while (!waiting_.empty()) {
            if (waiting_.front()->is_over()) {
                waiting_.pop_front();
                continue;
            }
            const auto best = rules_.choose(seen_, now);
            if (!best) {
                break;
            }
            line& taker = lines_[*best];
            auto one = std::move(waiting_.front());
            waiting_.pop_front();
            if (one->alone.count() != 0) {
                add_deadline(later(now, one->alone), one);
            }
            ++seen_[*best].in_flight;
            ++taker.handed;
            taker.last_used = now;
            taker.pipeline->hand_over(std::move(one));
        }
    } while (!waiting_.empty() && ask_for_room(now));
}

void multiplexer::look_at_lines() {
    seen_.clear();
    for (const line& one : lines_) {
        seen_.push_back(one.seen());
    }
}

// Whether there is room by now; else it will be told.
bool multiplexer::ask_for_room(time_point now) {
    for (const line& one : lines_) {
        one.pipeline->want_room();
    }
    look_at_lines();
    return rules_.choose(seen_, now).has_value();
}

void multiplexer::refuse_too_many(time_point now) {
    if (max_waiters_ == 0 || waiting_.size() <= max_waiters_) {
        return;
    }
    std::erase_if(waiting_, [](const auto& one) { return one->is_over(); });
    while (waiting_.size() > max_waiters_) {
        waiting_.back()->fail(refusal_error(refusal::queue_full, core_.picture(now)));
        waiting_.pop_back();
    }
}

// As long as no connection is open, the pool says when it is too late.
void multiplexer::refuse_late(time_point now) {
    while (!lines_.empty() && !waiting_.empty() &&
           later(waiting_.front()->came, patience_) <= now) {
        waiting_.front()->fail(
            error(errc::acquire_timeout,
                  "no place came free on the connections that statements share: " +
                      std::to_string(lines_.size()) + " open, at most " +
                      std::to_string(rules_.in_flight) + " statements in flight on each, " +
                      std::to_string(waiting_.size()) + " waiting")
                .with(phase::acquiring)
                .with(outcome::not_sent));
        waiting_.pop_front();
    }
}

void multiplexer::refuse_waiting() {
    const time_point now = std::chrono::steady_clock::now();
    take_box(now);
    for (const auto& one : std::exchange(waiting_, {})) {
        one->fail(refusal_error(refusal::closed, core_.picture(now)));
    }
    open_another(now);
}

void multiplexer::forget_left() {
    some_left_.store(false);
    take_box(std::chrono::steady_clock::now());
    std::erase_if(waiting_, [](const auto& one) { return one->is_over(); });
    obey();
}

// ---- connections

void multiplexer::open_another(time_point now) {
    if (waiting_.empty() && lines_.empty()) {
        for (const opening& one : openings_) {  // nobody waits for them
            one->emit(asio::cancellation_type::terminal);
        }
        return;
    }
    look_at_lines();
    const bool pauses = now < not_before_ && !lines_.empty();  // with none nobody would look again
    if (pauses || !rules_.wants_another(seen_, openings_.size(), waiting_.size(), now) ||
        (draining_ && waiting_.empty())) {
        return;
    }
    const std::source_location where =
        waiting_.empty() ? std::source_location::current() : waiting_.front()->where();
    const auto signal = std::make_shared<asio::cancellation_signal>();
    openings_.push_back(signal);
    spawn_alone(strand_, lease(core_.shared_from_this(), signal, where), core_.on_failure(),
                signal);
}

// Holds one connection of the pool, from the wait for it to its return.
asio::awaitable<void> multiplexer::lease(std::shared_ptr<pool_core> core, opening mine,
                                         std::source_location where) {
    lease_end at_end(core);
    const time_point began = std::chrono::steady_clock::now();
    acquire_limits limits;
    limits.newer_than = lost_at_;
    limits.goes_on = true;  // for those who were there before the pool was closed
    pooled_connection lent;
    std::optional<error> failed;
    try {
        lent = co_await core->acquire(where, limits);
    } catch (const error& why) {
        failed = why;
    } catch (const boost::system::system_error&) {
        failed.emplace(errc::cancelled, "nobody waits for it any more");
    }
    std::erase(openings_, mine);
    if (failed) {
        at_end.is_over = true;
        not_opened(*failed, began);
        core->obey();
        co_return;
    }
    // It is there: that nobody waits for it any more is no reason not to keep it for a moment.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const auto session = lent->session();
    const int number = session->backend_pid();  // none of one that was cut meanwhile
    if (session->status() != session_status::closed && is_numbered_by_a_pooler(number)) {
        at_end.is_over = true;
        turn_off();
        lent.release();
        core->obey();
        co_return;
    }
    auto has_room = [weak = core->weak_from_this()] {
        if (const auto self = weak.lock()) {
            self->shared_connections()->soon(&multiplexer::obey);
        }
    };
    const auto pipeline = std::make_shared<shared_pipeline>(std::move(has_room));
    at_end.pipeline = pipeline;
    line added;
    added.pipeline = pipeline;
    added.since = added.last_used = std::chrono::steady_clock::now();
    lines_.push_back(std::move(added));
    obey();
    std::optional<error> unfit;
    try {
        co_await session->share(pipeline);
    } catch (const error& why) {
        unfit = why;
    } catch (const std::exception& why) {
        unfit.emplace(errc::system_failed, why.what());
    }
    if (session->status() == session_status::closed) {
        lost_at_ = std::chrono::steady_clock::now();
    }
    at_end.is_over = true;
    take_back(pipeline, unfit);
    lent.release();
    obey();
    core->obey();
}

// Those that were there when it began have waited as long as it has. What will not pass by waiting
// is told to all.
void multiplexer::not_opened(const error& why, time_point began) {
    if (!lines_.empty()) {  // there is no hurry
        not_before_ = from_now(pause_after_failure);
    }
    if (why.code() != errc::cancelled && lines_.empty()) {
        const bool to_all = !says_when(why);
        std::deque<std::shared_ptr<multiplexed_statement>> later_ones;
        for (auto& one : std::exchange(waiting_, {})) {
            if (to_all || one->came <= began) {
                one->fail(why);
            } else {
                later_ones.push_back(std::move(one));
            }
        }
        waiting_ = std::move(later_ones);
    }
    obey();
}

multiplexer::lease_end::~lease_end() {
    if (!is_over) {
        pool->shared_connections()->abandon(pipeline);
    }
}

void multiplexer::abandon(const std::shared_ptr<shared_pipeline>& pipeline) noexcept {
    box_.take([](const std::shared_ptr<multiplexed_statement>& one) { one->abandon(); });
    for (const auto& one : std::exchange(waiting_, {})) {
        one->abandon();
    }
    if (pipeline) {
        pipeline->abandon();
    }
}

// What it was given and did not send goes to another, ahead of those that came later.
void multiplexer::take_back(const std::shared_ptr<shared_pipeline>& pipeline,
                            const std::optional<error>& unfit) {
    std::erase_if(lines_, [&](const line& one) { return one.pipeline == pipeline; });
    auto unsent = pipeline->take_unsent();
    const bool is_last = unfit && unfit->code() != errc::cancelled && ++unfit_ >= most_unfit;
    if (!unfit || is_last) {
        unfit_ = 0;
    }
    for (auto one = unsent.rbegin(); one != unsent.rend(); ++one) {
        if (is_last) {
            (*one)->fail(unfit->with(outcome::not_sent));
        } else if (!(*one)->is_over()) {
            waiting_.push_front(std::move(*one));
        }
    }
    if (pipeline->was_confused()) {
        turn_off();
    }
}

void multiplexer::turn_off() {
    off_.store(true, std::memory_order_relaxed);
    for (const auto& one : std::exchange(waiting_, {})) {
        one->step_aside();
    }
    core_.tell([](pool_observer& observer) {
        observer.warned(
            "something between here and the server does not let statements be "
            "pipelined: each gets a connection of its own");
    });
}

void multiplexer::drain() {
    take_box(std::chrono::steady_clock::now());  // those who came before
    draining_ = true;
    obey();
}

void multiplexer::retire() {
    for (line& one : lines_) {
        if (!std::exchange(one.ends, true)) {
            one.pipeline->end();
        }
    }
}

// Those who need a connection of their own would get none as long as there is something to send.
void multiplexer::give_way() {
    const bool some_wait = core_.state_.waiting() > openings_.size();
    const bool has_all = lines_.size() >= core_.state_.max_size();
    if (!some_wait || !has_all ||
        std::any_of(lines_.begin(), lines_.end(), [](const line& one) { return one.ends; })) {
        return;
    }
    line& least = *std::min_element(lines_.begin(), lines_.end(), [](const line& a, const line& b) {
        return a.seen().in_flight < b.seen().in_flight;
    });
    least.ends = true;
    least.pipeline->end();
}

void multiplexer::look_after(time_point now) {
    give_way();
    for (line& one : lines_) {
        const multiplexer_rules::line is = one.seen();
        const bool rests = is.in_flight == 0 && now - one.last_used >= multiplexer_rules::linger;
        const bool is_done = is.in_flight == 0 && draining_ && waiting_.empty();
        const bool is_old = now - one.since >= longest_lease_;
        if (!one.ends && (rests || is_done || is_old || !is.takes_more)) {
            one.ends = true;
            one.pipeline->end();
        }
        if (is.head_since && now - *is.head_since >= multiplexer_rules::deserted) {
            one.pipeline->cut_if_deserted();
        }
    }
}

// ---- time

void multiplexer::add_deadline(time_point at, const std::shared_ptr<multiplexed_statement>& who) {
    if (deadlines_.size() >= sweep_at_) {
        std::erase_if(deadlines_, [](const deadline& one) { return one.who->is_over(); });
        std::make_heap(deadlines_.begin(), deadlines_.end());
        sweep_at_ = std::max(least_sweep, 2 * deadlines_.size());
    }
    deadlines_.push_back({at, who});
    std::push_heap(deadlines_.begin(), deadlines_.end());
}

// One clock for all, and set anew only for what comes before what it is set for.
void multiplexer::watch_clock(time_point now) {
    while (!deadlines_.empty() && deadlines_.front().who->is_over()) {
        std::pop_heap(deadlines_.begin(), deadlines_.end());
        deadlines_.pop_back();
    }
    if (lines_.empty()) {
        next_look_.reset();
    } else if (!next_look_) {
        next_look_ = now + multiplexer_rules::linger / (draining_ ? 10 : 2);
    }
    std::optional<time_point> wanted = next_look_;
    if (!deadlines_.empty()) {
        wanted = wanted ? std::min(*wanted, deadlines_.front().at) : deadlines_.front().at;
    }
    if (!wanted || (next_ && *next_ <= *wanted)) {
        return;
    }
    next_ = wanted;
    auto event = [](pool_core& core) { core.shared_connections()->ring(); };
    clock_.set(next_, core_.weak_from_this(), event, core_.on_failure());
}

void multiplexer::ring() {
    next_.reset();
    const time_point now = std::chrono::steady_clock::now();
    bool some_left = false;
    while (!deadlines_.empty() && deadlines_.front().at <= now) {
        std::pop_heap(deadlines_.begin(), deadlines_.end());
        some_left = deadlines_.back().who->leave(errc::timeout) == outcome::not_sent || some_left;
        deadlines_.pop_back();
    }
    if (some_left) {
        std::erase_if(waiting_, [](const auto& one) { return one->is_over(); });
    }
    if (next_look_ && *next_look_ <= now) {
        next_look_.reset();
        look_after(now);
        refuse_late(now);
    }
    obey();
}

}  // namespace bitdotio
