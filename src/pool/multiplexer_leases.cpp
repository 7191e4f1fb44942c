// Borrows the connections that statements share, and gives them back.
#include "pool/multiplexer.hpp"

#include "pool/pool_core.hpp"
#include "postgres/postgres_session.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace bitdotio {

namespace {

// A connection that does not answer its first question in this time is cut.
constexpr std::chrono::milliseconds first_answer_limit{5'000};

multiplexer_terms::opening_end end_of(const error& why) {
    using end = multiplexer_terms::opening_end;
    switch (why.code()) {
        case errc::cancelled: return end::abandoned;
        case errc::queue_full: return end::full;
        case errc::acquire_timeout:
        case errc::database_asleep:
        case errc::server_busy: return end::late;
        default: return end::for_all;
    }
}

}  // namespace

void multiplexer::open_another(time_point now) {
    if (state_.wants_none() && opening_) {
        opening_->emit(asio::cancellation_type::terminal);
        return;
    }
    if (!state_.wants_another(now)) {
        return;
    }
    const handed_statement* const first = state_.first();
    const std::source_location where = first ? (*first)->where() : std::source_location::current();
    opening_ = std::make_shared<asio::cancellation_signal>();
    const time_point since = state_.opening_begins(now);
    spawn_alone(strand_, lease(core_.shared_from_this(), where, since), core_.on_failure(),
                opening_);
}

// Holds one connection of the pool, from the wait for it to its return.
asio::awaitable<void> multiplexer::lease(std::shared_ptr<pool_core> core,
                                         std::source_location where, time_point since) {
    lease_end at_end(core);
    acquire_limits limits;
    limits.since = since;
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
    opening_.reset();
    if (failed) {
        at_end.is_over = true;
        not_opened(*failed);
        core->obey();
        co_return;
    }
    // It is there: that nobody waits for it any more is no reason not to keep it for a moment.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const auto session = lent->session();
    const bool direct = co_await is_direct(session);
    if (!direct) {
        turn_off();
        at_end.is_over = true;
        not_opened(error(errc::cancelled, "a pooler stands in between"));
        lent.release();
        core->obey();
        co_return;
    }
    const line pipeline = opened(std::chrono::steady_clock::now());
    at_end.pipeline = pipeline;
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

// Whether the session is a process of the server's, as its number says. A pooler gives numbers of
// its own: in transaction mode PgBouncer gives the parts of a statement to different servers if
// they come in two packets while others are in flight, and then answers are lost, or go to others.
asio::awaitable<bool> multiplexer::is_direct(std::shared_ptr<postgres_session> session) {
    std::erase_if(direct_, [](const auto& one) { return one.expired(); });
    const bool known = std::any_of(direct_.begin(), direct_.end(),
                                   [&](const auto& one) { return one.lock() == session; });
    if (known) {
        co_return true;
    }
    const int number = session->backend_pid();
    statement question("SELECT pg_catalog.pg_backend_pid()");
    question.unprepared().timeout(first_answer_limit);
    const params none;
    try {
        const result answer = co_await session->run(std::move(question), none);
        if (answer.one<int>() != number) {
            co_return false;
        }
        direct_.push_back(session);
        co_return true;
    } catch (const error& why) {
        if (why.sqlstate().starts_with("42")) {
            co_return false;  // it may not be asked: then nothing is known, and nothing risked
        }
        session->cut(std::string("its first question was not answered: ") + why.what());
    }
    co_return true;  // whoever uses it is told that
}

std::shared_ptr<shared_pipeline> multiplexer::opened(time_point now) {
    auto has_room = [weak = core_.weak_from_this()] {
        if (const auto self = weak.lock()) {
            self->shared_connections()->soon(&multiplexer::obey);
        }
    };
    const auto pipeline = std::make_shared<shared_pipeline>(std::move(has_room));
    state_.opened(pipeline, now);
    return pipeline;
}

void multiplexer::not_opened(const error& why) {
    state_.not_opened(end_of(why), std::chrono::steady_clock::now(),
                      [&](const handed_statement& one) { one->fail(why); });
    obey();
}

multiplexer::lease_end::~lease_end() {
    if (!is_over) {
        pool->shared_connections()->abandon(pipeline);
    }
}

void multiplexer::take_back(const line& pipeline, const std::optional<error>& unfit) {
    using end = multiplexer_terms::line_end;
    const end how = !unfit ? end::well : unfit->code() == errc::cancelled ? end::lost : end::unfit;
    const auto refuse = [&](const handed_statement& one) {
        one->fail(unfit->with(outcome::not_sent));
    };
    state_.line_ended(pipeline, pipeline->take_unsent(), how, std::chrono::steady_clock::now(),
                      refuse);
    if (pipeline->was_confused()) {
        turn_off();
    }
}

}  // namespace bitdotio
