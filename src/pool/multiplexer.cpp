// Hands statements to the connections that they share, in time.
#include "pool/multiplexer.hpp"

#include "pool/pool_core.hpp"
#include "pool/refusal_error.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace bitdotio {

namespace {

constexpr std::chrono::milliseconds default_patience{30'000};

multiplexer_terms::settings settings_of(const pool_options& options) {
    multiplexer_terms::settings all;
    all.connections = options.multiplex->connections;
    all.in_flight = options.multiplex->in_flight;
    all.max_waiters = options.max_waiters;
    all.patience = options.acquire_timeout.value_or(default_patience);
    all.is_fixed = options.acquire_timeout.has_value();
    const auto longest = std::min(options.max_lifetime, multiplexer_rules::longest_lease);
    all.longest_lease =
        options.leak_after.count() == 0 ? longest : std::min(longest, options.leak_after / 2);
    return all;
}

}  // namespace

multiplexer::multiplexer(pool_core& core, asio::any_io_executor strand, const pool_options& options)
    : core_(core),
      strand_(std::move(strand)),
      in_flight_(options.multiplex->in_flight),
      state_(settings_of(options)),
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
    state_.obey(
        now, others(),
        [&](const handed_statement& one) {
            if (one->alone.count() != 0) {
                deadlines_.add(later(now, one->alone), one);
            }
        },
        [&](const handed_statement& one, state::refusal why) { refuse(one, why, now); });
    open_another(now);
    watch_clock(now);
}

void multiplexer::take_box(time_point now) {
    box_.take([&](handed_statement one) {
        if (one->is_over()) {
            return;
        }
        if (is_off() || !texts_.may_share(one->sql().sql())) {
            one->step_aside();
            return;
        }
        if (state_.is_draining() && !one->goes_on) {
            one->fail(refusal_error(refusal::closed, core_.picture(now)));
            return;
        }
        one->came = now;
        if (one->until != no_deadline) {
            deadlines_.add(one->until, one);
        }
        state_.arrives(std::move(one));
    });
}

void multiplexer::refuse(const handed_statement& one, state::refusal why, time_point now) {
    if (why == state::refusal::queue_full) {
        one->fail(refusal_error(refusal::queue_full, core_.picture(now)));
        return;
    }
    one->fail(error(errc::acquire_timeout,
                    "no place came free on the connections that statements share: " +
                        std::to_string(state_.lines()) + " open, at most " +
                        std::to_string(in_flight_) + " statements in flight on each, " +
                        std::to_string(state_.waiting()) + " waiting")
                  .with(phase::acquiring)
                  .with(outcome::not_sent));
}

void multiplexer::refuse_waiting() {
    const time_point now = std::chrono::steady_clock::now();
    take_box(now);
    for (const auto& one : state_.take_waiting()) {
        one->fail(refusal_error(refusal::closed, core_.picture(now)));
    }
    open_another(now);
}

void multiplexer::forget_left() {
    some_left_.store(false);
    take_box(std::chrono::steady_clock::now());
    state_.forget_left();
    obey();
}

void multiplexer::abandon(const line& pipeline) noexcept {
    box_.take([](const handed_statement& one) { one->abandon(); });
    for (const auto& one : state_.take_waiting()) {
        one->abandon();
    }
    if (pipeline) {
        pipeline->abandon();
    }
}

void multiplexer::turn_off() {
    off_.store(true, std::memory_order_relaxed);
    for (const auto& one : state_.take_waiting()) {
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
    state_.drain();
    obey();
}

multiplexer_terms::others multiplexer::others() const {
    multiplexer_terms::others all;
    all.waiting = core_.state_.waiting();
    all.max_size = core_.state_.max_size();
    return all;
}

// ---- time

// One clock for all, and set anew only for what comes before what it is set for.
void multiplexer::watch_clock(time_point now) {
    std::optional<time_point> wanted = state_.next_look(now);
    if (const auto next = deadlines_.next(); next && (!wanted || *next < *wanted)) {
        wanted = next;
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
    deadlines_.take_due(now, [&](const handed_statement& one) {
        some_left = one->leave(errc::timeout) == outcome::not_sent || some_left;
    });
    if (some_left) {
        state_.forget_left();
    }
    state_.look(now, others(),
                [&](const handed_statement& one, state::refusal why) { refuse(one, why, now); });
    obey();
}

}  // namespace bitdotio
