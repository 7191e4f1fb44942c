// Asks and answers a pool's statements by events.
#include "pool/pool_statement.hpp"

#include "base/spawn.hpp"

#include <chrono>
#include <utility>

namespace bitdotio {

// There is something to read. With it the caller ends, should the executor end before.
struct pool_statement::event {
    event(pool_statement* whose_, suspended caller_) noexcept
        : whose(whose_), caller(std::move(caller_)) {}

    void operator()(const boost::system::error_code& failure) {
        whose->come(failure, std::move(caller));
    }

    pool_statement* whose;
    suspended caller;
};

// The end of what was done by a coroutine.
struct pool_statement::ending {
    ending(pool_statement* whose_, suspended caller_) noexcept
        : whose(whose_), caller(std::move(caller_)) {}

    void operator()(std::exception_ptr thrown) noexcept {
        whose->caller_ = std::move(caller);
        whose->failure_ = std::move(thrown);
        whose->conclude();
        whose->leave_soon();
    }

    pool_statement* whose;
    suspended caller;
};

// Of one that is torn down with its executor.
pool_statement::~pool_statement() {
    under_way_.reset();
    if (session_) {
        pool_.give_back(std::move(session_));
    }
}

void pool_statement::begin(suspended caller) {
    goes_on_here_ = pool_.strand_.shares_threads_with(caller.executor());
    caller_ = std::move(caller);
    auto asking = [this]() noexcept { ask(); };
    if (!pool_.strand_.run_now(asking)) {
        called.put(std::move(caller_));
        dispatch_work(pool_.strand_, asking);
    }
}

void pool_statement::ask() noexcept {
    if (!caller_) {
        caller_ = called.take();
    }
    try {
        if (auto lent = pool_.lend_at_once(where, one_.limits)) {
            got(std::move(lent));
            return;
        }
    } catch (...) {
        got_none(std::current_exception());
        return;
    }
    called.put(std::move(caller_));
    pool_.queue_up(*this, one_.limits);
}

void pool_statement::got_none(std::exception_ptr why) noexcept {
    if (!caller_) {
        caller_ = called.take();
    }
    failure_ = std::move(why);
    leave_soon();
}

// On the strand, maybe in the midst of what another caller gives back.
void pool_statement::got(pool_core::resource lent) noexcept {
    if (!caller_) {
        caller_ = called.take();
    }
    session_ = std::move(lent);
    try {
        postgres_exchange& exchange = session_->exchange_here();
        if (!exchange.is_plain(one_.sql)) {
            finish_slowly();
            return;
        }
        under_way_.emplace(exchange, one_.sql, one_.values);
        switch (under_way_->look()) {
            case plain_answer::progress::waits: wait(); return;
            case plain_answer::progress::stuck: finish_slowly(); return;
            case plain_answer::progress::ended: answer_ = under_way_->take(); break;
        }
    } catch (...) {
        failure_ = std::current_exception();
    }
    conclude();
    leave_soon();
}

void pool_statement::wait() {
    under_way_->on_event(event(this, std::move(caller_)));
}

// On any thread of the context, not on the strand. What comes out of the caller goes on from here.
void pool_statement::come(const boost::system::error_code& failure, suspended caller) {
    const bool goes_on_here = goes_on_here_;
    suspended answered;
    const bool has_run =
        pool_.strand_.run_now([&]() noexcept { answered = go_on(failure, std::move(caller)); });
    if (!has_run) {
        dispatch_work(pool_.strand_,
                      [this, failure, caller = std::move(caller)]() mutable noexcept {
                          if (auto done = go_on(failure, std::move(caller))) {
                              caller_ = std::move(done);
                              leave_soon();
                          }
                      });
    } else if (answered && goes_on_here) {
        answered();  // the strand was left, and the next statement is under way
    } else if (answered) {
        const auto executor = answered.executor();
        resume_soon(executor, std::move(answered));
    }
}

// The caller, if it can go on.
suspended pool_statement::go_on(const boost::system::error_code& failure,
                                suspended caller) noexcept {
    caller_ = std::move(caller);
    try {
        switch (under_way_->go_on(failure)) {
            case plain_answer::progress::waits: wait(); return suspended();
            case plain_answer::progress::stuck: finish_slowly(); return suspended();
            case plain_answer::progress::ended: answer_ = under_way_->take(); break;
        }
    } catch (...) {
        failure_ = std::current_exception();
    }
    conclude();
    return std::move(caller_);
}

void pool_statement::finish_slowly() {
    spawn_alone(pool_.strand_, answer_slowly(), ending(this, std::move(caller_)));
}

asio::awaitable<void> pool_statement::answer_slowly() {
    if (under_way_) {
        answer_ = co_await session_->exchange_here().finish_plainly(*under_way_);
    } else {
        answer_ = co_await session_->exchange_here().answer(one_.sql, one_.values);
    }
}

// The connection goes back, and on to the next, whose statement is sent.
void pool_statement::conclude() noexcept {
    under_way_.reset();
    if (failure_) {
        one_.failed_on = pooled_connection(pool_.shared_from_this(), std::move(session_));
        return;
    }
    pool_.tell([&](pool_observer& observer) {
        observer.queried(one_.sql.sql(), std::chrono::steady_clock::now() - one_.began, nullptr);
    });
    pool_.end_lease(std::move(session_));
}

}  // namespace bitdotio
