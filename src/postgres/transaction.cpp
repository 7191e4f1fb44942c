// The handle of a transaction.
#include <bitdotio/transaction.hpp>

#include "postgres/postgres_session.hpp"
#include "postgres/statement_words.hpp"
#include "postgres/transaction_scope.hpp"

#include <string>
#include <utility>

namespace bitdotio {

transaction::transaction(wire::open_part<transaction_scope> open) noexcept
    : open_(std::move(open)) {}

const std::shared_ptr<transaction_scope>& transaction::scope() const {
    transaction_scope::require_some(open_.owner());
    return open_.owner();
}

bool transaction::is_open() const noexcept {
    return open_ && open_->is_open();
}

asio::awaitable<result> transaction::run(statement sql, params values) {
    return transaction_scope::run(open_.owner(), level(), std::move(sql), std::move(values));
}

asio::awaitable<pipeline_results> transaction::run(pipeline batch) {
    const auto open = scope();
    co_await open->enter(level());
    for (std::size_t i = 0; i + 1 < batch.size(); ++i) {
        if (leaves_transaction(batch.sql(i).sql())) {
            throw error(errc::bad_input,
                        "statement " + std::to_string(i) +
                            " of the pipeline ends the transaction, so that those after it would "
                            "run outside of it: put it last")
                .with(outcome::not_sent);
        }
    }
    for (std::size_t i = 0; i < batch.size(); ++i) {
        open->note(batch.sql(i));
    }
    auto what = [shared = std::make_shared<const pipeline>(std::move(batch))](
                    postgres_session& session) { return session.run_pipeline(shared); };
    co_return co_await open->ask(level(), std::move(what));
}

asio::awaitable<std::vector<result>> transaction::script(statement sql) {
    const auto open = scope();
    co_return co_await open->script(level(), std::move(sql));
}

asio::awaitable<std::uint64_t> transaction::count(statement sql, params values) {
    const result answer = co_await run(std::move(sql), std::move(values));
    co_return answer.affected_rows();
}

asio::awaitable<row_stream> transaction::start_stream(statement sql, params values) {
    const auto open = scope();
    auto what = [sql = std::move(sql), values = std::move(values)](postgres_session& session) {
        return session.start_rows(sql, values);
    };
    const std::uint64_t stream = co_await open->ask(level(), std::move(what));
    co_return row_stream({open->session(), stream, open->lease()});
}

asio::awaitable<copy_in> transaction::copy_from(statement sql) {
    const auto open = scope();
    const copy_start start = co_await open->start_copy(level(), std::move(sql), true);
    co_return copy_in({open->session(), start.stream, open->lease()}, start.format);
}

asio::awaitable<copy_out> transaction::copy_to(statement sql) {
    const auto open = scope();
    const copy_start start = co_await open->start_copy(level(), std::move(sql), false);
    co_return copy_out({open->session(), start.stream, open->lease()}, start.format);
}

asio::awaitable<transaction> transaction::begin() {
    const auto open = scope();
    const std::size_t deeper = co_await open->nest(level());
    co_return transaction({open, deeper});
}

asio::awaitable<void> transaction::commit() {
    const auto open = scope();
    if (!open->enters_at_once(level())) {  // while a nested one is open, this stays open too
        co_await open->enter(level());
    }
    auto ending = std::move(open_);  // abandoned if this fails, unless it is over
    co_await ending->commit(ending.number());
    ending.end();
}

asio::awaitable<void> transaction::rollback() {
    const auto open = scope();
    open_.end();
    co_await open->rollback(level());
}

}  // namespace bitdotio
