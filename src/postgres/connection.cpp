// The handle of a session.
#include <bitdotio/connection.hpp>
#include <bitdotio/transaction.hpp>

#include "postgres/connector.hpp"
#include "postgres/pipeline_transaction.hpp"
#include "postgres/postgres_session.hpp"
#include "postgres/transaction_scope.hpp"

#include <utility>

namespace bitdotio {

namespace {

const std::shared_ptr<postgres_session>& open_session(
    const std::shared_ptr<postgres_session>& session) {
    if (!session) {
        throw error(errc::protocol_violated, "the connection was never opened, or moved from")
            .with(outcome::not_sent);
    }
    return session;
}

}  // namespace

asio::awaitable<connection> connection::open(connect_options options) {
    const connector target(co_await asio::this_coro::executor, std::move(options));
    co_return connection(co_await target.open());
}

connection::connection(std::shared_ptr<postgres_session> session) noexcept
    : session_(std::move(session)) {}

connection& connection::operator=(connection&& other) noexcept {
    if (this != &other) {
        if (session_) {
            session_->close();
        }
        session_ = std::move(other.session_);
    }
    return *this;
}

connection::~connection() {
    if (session_) {
        session_->close();
    }
}

asio::awaitable<result> connection::run(statement sql, params values) {
    return open_session(session_)->run(std::move(sql), std::move(values));
}

asio::awaitable<std::vector<result>> connection::script(statement sql) {
    return open_session(session_)->script(std::move(sql));
}

asio::awaitable<pipeline_results> connection::run(pipeline batch) {
    return open_session(session_)->run_pipeline(std::make_shared<const pipeline>(std::move(batch)));
}

asio::awaitable<row_stream> connection::start_stream(statement sql, params values) {
    const auto session = open_session(session_);
    const std::uint64_t stream = co_await session->start_rows(std::move(sql), std::move(values));
    co_return row_stream({session, stream});
}

asio::awaitable<copy_in> connection::copy_from(statement sql) {
    const auto session = open_session(session_);
    const copy_start start = co_await session->start_copy(std::move(sql), true);
    co_return copy_in({session, start.stream}, start.format);
}

asio::awaitable<copy_out> connection::copy_to(statement sql) {
    const auto session = open_session(session_);
    const copy_start start = co_await session->start_copy(std::move(sql), false);
    co_return copy_out({session, start.stream}, start.format);
}

asio::awaitable<std::uint64_t> connection::count(statement sql, params values) {
    const result answer = co_await run(std::move(sql), std::move(values));
    co_return answer.affected_rows();
}

asio::awaitable<bitdotio::transaction> connection::begin(transaction_options options) {
    transaction_start on;
    on.session = open_session(session_);
    statement begin(options.begin_statement());
    // One that is known to be dead says so here.
    on.deferred = may_defer(options, *on.session) && on.session->status() == session_status::idle &&
                  on.session->looks_alive() && on.session->begin_first(begin.sql());
    if (!on.deferred) {
        if (options.begin_timeout) {
            begin.timeout(*options.begin_timeout);
        }
        co_await on.session->script(std::move(begin));
    }
    co_return bitdotio::transaction(outermost(std::move(on), options.resolvable));
}

asio::awaitable<pipeline_results> connection::transaction(pipeline batch,
                                                          transaction_options options) {
    const auto session = open_session(session_);
    const auto whole = whole_transaction(std::move(batch), options);
    if (!options.resolvable) {
        co_return co_await run_whole(session, whole);
    }
    bitdotio::transaction open = co_await begin(std::move(options));
    pipeline_results answers = co_await run_within(open, std::move(*whole));
    co_await open.commit();
    co_return answers;
}

bool connection::is_open() const noexcept {
    return session_ && session_->status() != session_status::closed;
}

int connection::backend_pid() const noexcept {
    return session_ ? session_->backend_pid() : 0;
}

asio::awaitable<void> connection::close() {
    if (session_) {
        session_->close();
    }
    co_return;
}

}  // namespace bitdotio
