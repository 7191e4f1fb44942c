// Asks for a transaction's outcome until it has one.
#include <bitdotio/resolve_commit.hpp>

#include "base/backoff.hpp"
#include "base/deadline.hpp"
#include "postgres/connector.hpp"

#include <boost/asio/steady_timer.hpp>

#include <optional>
#include <string>
#include <tuple>
#include <utility>

namespace bitdotio {

namespace {

// The status, and the place where it was asked; a standby has no place.
constexpr const char* question =
    "SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_xact_status($1::xid8) "
    "END, CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.concat_ws('/', "
    "pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8), "
    "(SELECT system_identifier FROM pg_catalog.pg_control_system())) END";

// Nothing while it has no end, or no server that knows it can be asked.
std::optional<outcome> meaning(const result& answer, const std::string& place) {
    const auto [status, asked] =
        answer.one<std::tuple<std::optional<std::string>, std::optional<std::string>>>();
    if (!asked || status == "in progress") {
        return std::nullopt;
    }
    if (*asked != place) {
        return outcome::unknown;
    }
    return status == "committed" ? outcome::executed
           : status == "aborted" ? outcome::not_executed
                                 : outcome::unknown;
}

asio::awaitable<outcome> ask(pool from, std::string number, std::string place,
                             std::source_location where) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    asio::steady_timer pause(co_await asio::this_coro::executor);
    for (std::size_t time = 1;; ++time) {
        try {
            statement asked = statement(question).read_only().unprepared();
            params values(number);
            const result answer = co_await from.run(std::move(asked), std::move(values), where);
            if (const auto known = meaning(answer, place)) {
                co_return *known;
            }
        } catch (const error& failure) {
            if (failure.code() == errc::cancelled || failure.code() == errc::pool_closed) {
                throw;
            }
            if (failure.code() == errc::query_failed) {  // this server never gave the number away
                co_return outcome::unknown;
            }
        }
        pause.expires_after(wake_delay(time, std::chrono::milliseconds(0), random_fraction()));
        boost::system::error_code aborted;
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, aborted));
        if (aborted) {
            throw error(errc::cancelled, "asking what became of a transaction was cancelled");
        }
    }
}

}  // namespace

asio::awaitable<outcome> resolve_commit(pool from, error failure, std::chrono::milliseconds limit,
                                        std::source_location where) {
    const std::string id = failure.transaction_id();
    const std::size_t slash = id.find('/');
    if (slash == std::string::npos) {
        throw error(errc::bad_input,
                    "the error names no transaction: begin it with transaction_options::resolvable")
            .with(outcome::not_sent);
    }
    try {
        co_return co_await with_deadline(
            ask(from, id.substr(0, slash), id.substr(slash + 1), where), deadline_after(limit));
    } catch (const error& ended) {
        if (ended.code() != errc::timeout) {
            throw;
        }
    }
    co_return outcome::unknown;
}

}  // namespace bitdotio
