// The handles of a pool and of what it lends.
#include <bitdotio/pool.hpp>
#include <bitdotio/resolve_commit.hpp>

#include "pool/multiplexer.hpp"
#include "pool/pool_attempts.hpp"
#include "pool/pool_core.hpp"
#include "pool/pool_statement.hpp"
#include "pool/transaction_source.hpp"
#include "postgres/failure.hpp"
#include "postgres/multiplexed_statement.hpp"
#include "postgres/pipeline_transaction.hpp"
#include "postgres/postgres_session.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <optional>
#include <string>
#include <utility>

namespace bitdotio {

pooled_connection::pooled_connection(std::shared_ptr<pool_core> pool,
                                     std::shared_ptr<postgres_session> session)
    : pool_(std::move(pool)), connection_(std::move(session)) {}

pooled_connection& pooled_connection::operator=(pooled_connection&& other) noexcept {
    if (this != &other) {
        release();
        pool_ = std::move(other.pool_);
        connection_ = std::move(other.connection_);
    }
    return *this;
}

pooled_connection::~pooled_connection() {
    release();
}

void pooled_connection::release() noexcept {
    const auto pool = std::exchange(pool_, nullptr);
    auto session = connection_.detach();
    if (pool && session) {
        pool->give_back(std::move(session));
    }
}

pool::pool(asio::any_io_executor executor, connect_options connect, pool_options options)
    : core_(make_for_this_process<pool_core>(std::move(executor), std::move(connect),
                                             std::move(options))) {
    core_->start();
}

asio::awaitable<pooled_connection> pool::acquire(std::source_location where) {
    return core_->acquire(where);
}

namespace {

// How long a COMMIT without an answer is asked after.
constexpr std::chrono::milliseconds resolve_limit{10'000};
constexpr std::chrono::milliseconds no_timeout{0};

// Tells the observer how a statement ended; costs nothing if there is none. On a connection of its
// own, the pool tells of one that went well.
class query_report {
public:
    query_report(const pool_core& core, std::string_view sql) : core_(core), sql_(sql) {
        if (core.has_observer()) {
            began_ = std::chrono::steady_clock::now();
        }
    }

    time_point began() const { return began_; }

    void went_well() const { tell(nullptr); }

    void go_on(pool_attempts& all, const error& failure, postgres_session* failed_on) const {
        try {
            all.go_on(failure, failed_on);
        } catch (const error& told) {
            tell(&told);
            throw;
        }
    }

private:
    void tell(const error* failure) const {
        core_.tell([&](pool_observer& observer) {
            observer.queried(sql_, std::chrono::steady_clock::now() - began_, failure);
        });
    }

    const pool_core& core_;
    const std::string_view sql_;
    time_point began_{};
};

// The tries of one statement, on connections that it has to itself.
asio::awaitable<result> run_alone(pool_attempts& all, const query_report& report,
                                  const statement& sql, const params& values,
                                  std::source_location where) {
    while (true) {
        {
            statement_try one(sql, values, where);
            one.began = report.began();
            try {
                co_return co_await all.run(one);
            } catch (...) {
                report.go_on(all, current_failure(), one.failed_on->session().get());
            }
        }
        co_await all.pause();
    }
}

asio::awaitable<result> run_leased(std::shared_ptr<pool_core> core, statement sql, params values,
                                   std::source_location where) {
    core->check_same_process();
    pool_attempts all(core, sql.may_run_twice(), core->deadline_of(sql.timeout()), where);
    const query_report report(*core, sql.sql());
    const asio::cancellation_state caller = co_await asio::this_coro::cancellation_state;
    bool has_failed = false;
    {
        statement_try first(sql, values, where);
        first.began = report.began();
        first.limits = all.limits();
        if (pool_statement::may_take(caller, first)) {
            pool_statement one(*core, first);
            co_await one.end();
            try {
                co_return one.take();
            } catch (...) {
                report.go_on(all, current_failure(), first.failed_on->session().get());
            }
            has_failed = true;
        }
    }
    if (has_failed) {
        co_await all.pause();
    }
    co_return co_await run_alone(all, report, sql, values, where);
}

// Hands a statement over, and keeps who is to be told when it is over.
struct handing_over {
    template <class Handler>
    void operator()(Handler handler) const {
        auto left = [weak = core.weak_from_this()]() noexcept {
            if (const auto self = weak.lock()) {
                self->shared_connections()->caller_left();
            }
        };
        one->wait(std::move(handler), std::move(left));
        // From the moment it is handed over the caller, who holds the pool, may go on and be gone.
        const auto alive = core.shared_from_this();
        alive->shared_connections()->ask(one);
    }

    pool_core& core;
    const std::shared_ptr<multiplexed_statement>& one;
};

// The tries of one statement, on connections that it shares; or alone, if that is found to be
// right.
asio::awaitable<result> run_shared(std::shared_ptr<pool_core> core, statement sql, params values,
                                   std::source_location where) {
    core->check_same_process();
    pool_attempts all(core, sql.may_run_twice(), core->deadline_of(sql.timeout()), where);
    const auto first =
        std::make_shared<multiplexed_statement>(std::move(sql), std::move(values), where);
    const query_report report(*core, first->sql().sql());
    auto one = first;
    while (!core->shared_connections()->is_off()) {
        one->until = all.deadline();
        one->alone = core->time_alone(one->sql().timeout());
        try {
            const handing_over begin{*core, one};
            co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
                begin, asio::use_awaitable);
            if (one->steps_aside()) {
                break;
            }
            if (one->failure()) {
                throw *one->failure();
            }
            report.went_well();
            co_return one->take_answer();
        } catch (...) {
            const error failure = current_failure();
            report.go_on(all, failure, nullptr);
            if (is_read_only_server(failure)) {
                core->distrust_idle();
            }
        }
        co_await all.pause();
        one = std::make_shared<multiplexed_statement>(first->sql(), first->values(), where);
        one->goes_on = true;
    }
    co_return co_await run_alone(all, report, first->sql(), first->values(), where);
}

}  // namespace

asio::awaitable<result> pool::run(statement sql, params values, std::source_location where) {
    return core_->shared_connections() && begins_shareable(sql)
               ? run_shared(core_, std::move(sql), std::move(values), where)
               : run_leased(core_, std::move(sql), std::move(values), where);
}

asio::awaitable<std::uint64_t> pool::count(statement sql, params values,
                                           std::source_location where) {
    const result answer = co_await run(std::move(sql), std::move(values), where);
    co_return answer.affected_rows();
}

asio::awaitable<pipeline_results> pool::run(pipeline batch, std::source_location where) {
    pool_attempts all(core_, false, core_->deadline_of(batch.timeout()), where);
    const auto shared = std::make_shared<pipeline>(std::move(batch));
    while (true) {
        {
            pooled_connection lent;
            try {
                lent = co_await all.lend();
                all.limit(*shared);
                co_return co_await lent->session()->run_pipeline(shared);
            } catch (...) {  // nothing of it was sent
                all.go_on(current_failure(), nullptr);
            }
        }
        co_await all.pause();
    }
}

// A stream that may start again, until its first row has been handed out.
class pool::stream_source : public std::enable_shared_from_this<stream_source> {
public:
    stream_source(std::shared_ptr<pool_core> core, statement sql, params values,
                  std::source_location where)
        : sql_(std::move(sql)),
          values_(std::move(values)),
          all_(core, sql_.may_run_twice(), core->deadline_of(sql_.timeout()), where) {}

    asio::awaitable<row_stream> open() {
        const auto self = shared_from_this();
        while (true) {
            {
                const auto lent = std::make_shared<pooled_connection>();
                try {
                    *lent = co_await all_.lend();
                    const auto session = (*lent)->session();
                    const std::uint64_t number =
                        co_await session->start_rows(sql_, values_, all_.deadline());
                    session_ = session;
                    row_stream::replacement again = [self](error failure, bool rows_seen,
                                                           std::shared_ptr<void> lease,
                                                           time_point until) {
                        return self->open_again(failure, rows_seen, std::move(lease), until);
                    };
                    co_return row_stream({session, number, lent}, std::move(again), step_timeout());
                } catch (...) {
                    all_.go_on(current_failure(), (*lent)->session().get());
                }
            }
            co_await all_.pause();
        }
    }

private:
    // A step that opens the stream again has no longer than another.
    std::chrono::milliseconds step_timeout() const {
        return all_.deadline() == no_deadline ? no_timeout : sql_.timeout().value_or(no_timeout);
    }

    // Not a coroutine: it decides, and throws, before anything is awaited.
    asio::awaitable<row_stream> open_again(const error& failure, bool rows_seen,
                                           std::shared_ptr<void> lease, time_point until) {
        all_.set_deadline(until);
        all_.go_on(failure, session_.lock().get(), rows_seen);
        lease.reset();
        return reopen();
    }

    asio::awaitable<row_stream> reopen() {
        const auto self = shared_from_this();
        co_await all_.pause();
        co_return co_await open();
    }

    const statement sql_;
    const params values_;
    pool_attempts all_;
    std::weak_ptr<postgres_session> session_;
};

asio::awaitable<row_stream> pool::start_stream(statement sql, params values,
                                               std::source_location where) {
    const auto source =
        std::make_shared<stream_source>(core_, std::move(sql), std::move(values), where);
    co_return co_await source->open();
}

asio::awaitable<bitdotio::transaction> pool::begin(transaction_options options,
                                                   std::source_location where) {
    const time_point until = deadline_after(options.begin_timeout.value_or(no_timeout));
    co_return co_await begin_on(core_, std::move(options), until, where);
}

asio::awaitable<pipeline_results> pool::transaction(pipeline batch, transaction_options options,
                                                    std::source_location where) {
    const auto whole = whole_transaction(std::move(batch), options);
    if (options.resolvable) {  // its number must be known before COMMIT is sent
        bitdotio::transaction open = co_await begin(std::move(options), where);
        pipeline_results answers = co_await run_within(open, std::move(*whole));
        co_await commit(open, where);
        co_return answers;
    }
    pool_attempts all(core_, false, core_->deadline_of(whole->timeout()), where);
    while (true) {
        {
            pooled_connection lent;
            try {
                lent = co_await all.lend();
                all.limit(*whole);
                co_return co_await run_whole(lent->session(), whole);
            } catch (...) {
                all.go_on(current_failure(), lent->session().get());
            }
        }
        co_await all.pause();
    }
}

asio::awaitable<void> pool::commit(bitdotio::transaction& open, std::source_location where) {
    if (!open.is_open()) {
        co_return;  // the work has ended it
    }
    std::optional<error> unknown;
    try {
        co_await open.commit();
    } catch (const error& failure) {
        if (failure.transaction_id().empty()) {
            throw;
        }
        unknown = failure;
    }
    if (!unknown) {
        co_return;
    }
    outcome found = outcome::unknown;
    try {
        found = co_await resolve_commit(*this, *unknown, resolve_limit, where);
    } catch (const std::exception&) {  // the caller has cancelled, or the pool is closed
    }
    if (found == outcome::unknown) {
        throw *unknown;
    }
    if (found == outcome::not_executed) {
        throw unknown->with_code(errc::connection_lost)
            .with(outcome::not_executed)
            .with_message(std::string("the server says that the transaction was not committed: ") +
                          unknown->what());
    }
}

asio::awaitable<pool_statistics> pool::statistics() {
    return core_->statistics();
}

bool pool::is_closed() const noexcept {
    return core_->is_closed();
}

void pool::reset() noexcept {
    core_->reset();
}

void pool::resize(std::size_t min_size, std::size_t max_size) {
    core_->resize(min_size, max_size);
}

asio::awaitable<void> pool::close(std::chrono::milliseconds drain) {
    return core_->close(drain);
}

}  // namespace bitdotio
