// The handles of a pool and of what it lends.
#include <bitdotio/pool.hpp>
#include <bitdotio/resolve_commit.hpp>

#include "pool/pool_core.hpp"
#include "postgres/failure.hpp"
#include "postgres/postgres_session.hpp"
#include "postgres/statement_attempts.hpp"
#include "postgres/transaction_scope.hpp"

#include <boost/system/system_error.hpp>

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

// The error being handled. A caller that is cancelled between two tries may not await the second:
// Asio says so with an exception of its own.
error current_failure() {
    try {
        throw;
    } catch (const error& failure) {
        return failure;
    } catch (const boost::system::system_error&) {
        return error(errc::cancelled, "cancelled before it was tried again");
    }
}

// The tries of one call, on connections of its pool.
class pool_attempts {
public:
    pool_attempts(std::shared_ptr<pool_core> core, bool may_run_twice)
        : core_(std::move(core)), so_far_(may_run_twice), wakes_(core_->wakes()) {}

    asio::awaitable<pooled_connection> lend(
        std::source_location where = std::source_location::current()) {
        return core_->acquire(where);
    }

    // Returns if there is to be another try; otherwise throws the failure, which happened on the
    // session `failed_on`.
    void go_on(const error& failure, postgres_session* failed_on, bool rows_seen = false) {
        if (core_->wakes() != wakes_) {
            so_far_.woke();
        }
        if (!so_far_.again(failure, rows_seen)) {
            throw so_far_.told(failure);
        }
        core_->count_retry(failure);
        if (failed_on && is_read_only_server(failure)) {
            failed_on->close();
            core_->distrust_idle();
        }
    }

private:
    const std::shared_ptr<pool_core> core_;
    statement_attempts so_far_;
    const std::uint64_t wakes_;
};

// Tells the observer how a statement ended; costs nothing if there is none.
class query_report {
public:
    query_report(const pool_core& core, std::string_view sql) : core_(core), sql_(sql) {
        if (core.has_observer()) {
            began_ = std::chrono::steady_clock::now();
        }
    }

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

}  // namespace

asio::awaitable<result> pool::run(statement sql, params values) {
    pool_attempts all(core_, sql.may_run_twice());
    const query_report report(*core_, sql.sql());
    while (true) {
        pooled_connection lent;
        try {
            lent = co_await all.lend();
            result answer = co_await lent->run(sql, values);
            report.went_well();
            co_return answer;
        } catch (...) {
            report.go_on(all, current_failure(), lent->session().get());
        }
    }
}

asio::awaitable<std::uint64_t> pool::count(statement sql, params values) {
    const result answer = co_await run(std::move(sql), std::move(values));
    co_return answer.affected_rows();
}

asio::awaitable<pipeline_results> pool::run(pipeline batch) {
    pool_attempts all(core_, false);
    const auto shared = std::make_shared<const pipeline>(std::move(batch));
    while (true) {
        pooled_connection lent;
        try {
            lent = co_await all.lend();
            co_return co_await lent->session()->run_pipeline(shared);
        } catch (...) {  // nothing of it was sent
            all.go_on(current_failure(), nullptr);
        }
    }
}

// A stream that may start again, until its first row has been handed out.
class pool::stream_source : public std::enable_shared_from_this<stream_source> {
public:
    stream_source(std::shared_ptr<pool_core> core, statement sql, params values)
        : sql_(std::move(sql)),
          values_(std::move(values)),
          all_(std::move(core), sql_.may_run_twice()) {}

    asio::awaitable<row_stream> open() {
        const auto self = shared_from_this();
        while (true) {
            const auto lent = std::make_shared<pooled_connection>();
            try {
                *lent = co_await all_.lend();
                const std::uint64_t number = co_await (*lent)->session()->start_rows(sql_, values_);
                session_ = (*lent)->session();
                row_stream::replacement again = [self](error failure, bool rows_seen,
                                                       std::shared_ptr<void> lease) {
                    return self->open_again(failure, rows_seen, std::move(lease));
                };
                co_return row_stream({(*lent)->session(), number, lent}, std::move(again));
            } catch (...) {
                all_.go_on(current_failure(), (*lent)->session().get());
            }
        }
    }

private:
    // Not a coroutine: it decides, and throws, before anything is awaited.
    asio::awaitable<row_stream> open_again(const error& failure, bool rows_seen,
                                           std::shared_ptr<void> lease) {
        all_.go_on(failure, session_.lock().get(), rows_seen);
        lease.reset();
        return open();
    }

    const statement sql_;
    const params values_;
    pool_attempts all_;
    std::weak_ptr<postgres_session> session_;
};

asio::awaitable<row_stream> pool::start_stream(statement sql, params values) {
    const auto source = std::make_shared<stream_source>(core_, std::move(sql), std::move(values));
    co_return co_await source->open();
}

asio::awaitable<bitdotio::transaction> pool::begin(transaction_options options,
                                                   std::source_location where) {
    const std::string begin = options.begin_statement();
    pool_attempts all(core_, true);  // an empty transaction changes nothing
    while (true) {
        const auto lent = std::make_shared<pooled_connection>();
        try {
            *lent = co_await all.lend(where);
            co_await (*lent)->script(begin);
            co_return bitdotio::transaction(
                outermost((*lent)->session(), lent, options.resolvable));
        } catch (...) {
            all.go_on(current_failure(), nullptr);
        }
    }
}

asio::awaitable<void> pool::commit(bitdotio::transaction& open) {
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
        found = co_await resolve_commit(*this, *unknown);
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
