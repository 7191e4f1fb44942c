// Converts PostgreSQL's text to JSON, by the columns' types, as it comes.
#include "server/api/query_runner.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/error.hpp>
#include <bitdotio/open_part.hpp>
#include <bitdotio/transaction.hpp>

#include "base/ascii.hpp"
#include "base/blocking.hpp"
#include "base/deadline.hpp"
#include "postgres/postgres_session.hpp"
#include "postgres/statement_words.hpp"
#include "service/answer_limit.hpp"
#include "service/field_value.hpp"
#include "service/query_codec.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace bitdotio {

namespace {

// Rows that are converted at once.
constexpr std::size_t rows_at_once = 100;
// How much of an answer is read at once from where it waits.
constexpr std::size_t answer_piece = 256 * 1024;
// The time to stop what a query that failed has left running.
constexpr std::chrono::milliseconds stop_patience{10'000};

// Turns the answers of a script into JSON. Each statement's replace those of the one before.
//
// Thread safety: one thread at a time.
class answer_recorder {
public:
    explicit answer_recorder(const query_terms& terms)
        : format_(terms.format), spool_(terms.directory, terms.largest_answer, terms.room) {}

    // Whether it is so much that `add` may block.
    bool may_block(const std::vector<result>& parts) const {
        if (spool_.may_block(0)) return true;
        std::size_t size = 0;
        for (const result& part : parts) {
            for (const row_view row : part) {
                for (std::size_t i = 0; i < row.size(); ++i) {
                    // A byte becomes six at most; the key of its column comes along.
                    size += 6 * (row[i].is_null() ? 0 : row[i].data().size()) + 16 +
                            6 * part.column_name(i).size();
                }
            }
        }
        return spool_.may_block(size);
    }

    void add(const std::vector<result>& parts) {
        const api::json_sink to = [this](std::string_view piece) { spool_.write(piece); };
        for (const result& part : parts) {
            if (!rows_) begin(part);
            for (const row_view row : part) {
                rows_->add([&](std::size_t i) { return api_value_of(row[i]); }, to);
                ++count_;
            }
            if (part.size() == 0) {  // the statement ends
                const std::string_view tag = part.command_tag();
                changed_settings_ |= tag == "ALTER DATABASE" || tag == "ALTER ROLE";
                last_ = std::move(rows_);
                rows_.reset();
            }
        }
    }

    // The columns of the last statement, and their types.
    std::vector<query_result::column> columns() const {
        return last_ ? last_->columns() : std::vector<query_result::column>();
    }
    const std::vector<oid>& types() const noexcept { return types_; }
    std::int64_t count() const noexcept { return count_; }
    bool changed_settings() const noexcept { return changed_settings_; }
    answer_spool& spool() noexcept { return spool_; }

private:
    void begin(const result& part) {
        std::vector<query_result::column> columns;
        types_.clear();
        for (std::size_t i = 0; i < part.column_count(); ++i) {
            query_result::column column;
            column.name = part.column_name(i);
            column.type = type_name(part.column_type(i));
            columns.push_back(std::move(column));
            types_.push_back(part.column_type(i));
        }
        rows_.emplace(std::move(columns), format_);
        count_ = 0;
        spool_.clear();
    }

    const data_format format_;
    std::optional<api::row_encoder> rows_;  // of a statement that goes on
    std::optional<api::row_encoder> last_;
    std::vector<oid> types_;
    std::int64_t count_ = 0;
    bool changed_settings_ = false;
    answer_spool spool_;
};

// An answer that is not short, as a body.
class spooled_body final : public body_stream {
public:
    spooled_body(std::string head, std::shared_ptr<answer_recorder> from)
        : head_(std::move(head)), from_(std::move(from)) {}

    std::uint64_t size() const {
        return head_.size() + from_->spool().size() + api::query_tail.size();
    }

    asio::awaitable<std::string> next() override {
        if (!head_.empty()) co_return std::exchange(head_, {});
        const auto piece = std::make_shared<std::string>();
        std::function<void()> work = [from = from_, at = sent_, piece] {
            *piece = from->spool().read(at, answer_piece);
        };
        if (!ended_) co_await run_blocking(work);
        sent_ += piece->size();
        if (piece->empty() && !std::exchange(ended_, true)) *piece = api::query_tail;
        co_return std::move(*piece);
    }

private:
    std::string head_;
    std::shared_ptr<answer_recorder> from_;
    std::uint64_t sent_ = 0;
    bool ended_ = false;
};

// On the session's strand.
asio::awaitable<void> do_record(std::shared_ptr<postgres_session> session, statement script,
                                bool alone, time_point until,
                                std::shared_ptr<answer_recorder> into) {
    postgres_exchange& exchange = session->exchange_here();
    const std::uint64_t number = co_await exchange.start_script(std::move(script), alone, until);
    wire::open_part<postgres_session> stream(session, number);
    for (;;) {
        const auto parts = std::make_shared<std::vector<result>>();
        *parts = co_await exchange.next_rows(number, rows_at_once, until);
        if (parts->empty()) break;
        std::function<void()> work = [into, parts] { into->add(*parts); };
        if (into->may_block(*parts)) {
            co_await run_blocking(work);
        } else {
            work();
        }
    }
    stream.end();
}

asio::awaitable<void> record(std::shared_ptr<postgres_session> session, statement script,
                             bool alone, time_point until, std::shared_ptr<answer_recorder> into) {
    return session->on_own_strand(
        do_record(session, std::move(script), alone, until, std::move(into)));
}

// The names of types that are the database's own.
asio::awaitable<void> name_types(connection& session, const std::vector<oid>& types,
                                 std::vector<query_result::column>& columns) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
        const std::int64_t number = types[i];
        if (!columns[i].type.starts_with("type with OID ")) continue;
        const result answer = co_await session.query(
            "SELECT coalesce(pg_catalog.format_type($1::bigint::oid, NULL), 'text')", number);
        columns[i].type = answer.one<std::string>();
    }
}

query_answer finished(const std::string& sql, const std::vector<query_result::column>& columns,
                      std::shared_ptr<answer_recorder> recorder, std::uint64_t most) {
    query_answer answer;
    answer.rows = recorder->count();
    answer.changed_settings = recorder->changed_settings();
    answer.response.status = 200;
    std::string head = api::encode_query_head(sql, columns);
    if (recorder->spool().is_in_memory()) {
        answer.response.body =
            std::move(head) + recorder->spool().take_memory() + std::string(api::query_tail);
        return answer;
    }
    const auto body = std::make_shared<spooled_body>(std::move(head), std::move(recorder));
    if (body->size() > most) throw error(errc::result_too_large, answer_too_long(most));
    answer.response.length = body->size();
    answer.response.stream = body;
    return answer;
}

// Some errors of this library advise its callers what to call instead. Callers of the API are told
// what they can do.
error in_words_of_api(const error& thrown) {
    const std::string_view said = thrown.what();
    if (said.find("copy_in") != std::string_view::npos) {
        return thrown.with_message(
            "COPY from STDIN or to STDOUT does not go through a query of the API: start an import "
            "or an export, or use COPY over a Postgres connection");
    }
    if (said.find("client_encoding") != std::string_view::npos && thrown.sqlstate().empty()) {
        return thrown.with_message(
            "the statement changed client_encoding, and the API reads and writes UTF-8 alone: "
            "convert with convert_from and convert_to");
    }
    return thrown;
}

// The caller keeps what it refers to.
asio::awaitable<void> run_judged(connection& session, statement script, const query_terms& terms,
                                 std::shared_ptr<answer_recorder> recorder) {
    transaction scope = co_await session.begin();
    co_await record(session.session(), std::move(script), true, no_deadline, recorder);
    // Deferred triggers write too: they run now instead of at the commit.
    co_await scope.query("SET CONSTRAINTS ALL IMMEDIATE");
    const bool good = co_await terms.may_commit();
    if (!good) {
        co_await scope.rollback();
        throw error(errc::query_failed, "the statement was undone");
    }
    co_await scope.commit();
}

}  // namespace

asio::awaitable<query_answer> run_query(connection& session, std::string sql, query_terms terms) {
    const time_point deadline = deadline_after(terms.timeout);
    const auto recorder = std::make_shared<answer_recorder>(terms);
    statement script(sql);
    script.timeout(std::chrono::milliseconds(0));  // for all of it, in place of each step
    std::vector<query_result::column> columns;
    std::exception_ptr failure;
    try {
        if (terms.may_commit) {
            auto work = run_judged(session, std::move(script), terms, recorder);
            co_await with_deadline(std::move(work), deadline);
        } else {
            co_await record(session.session(), std::move(script), terms.single, deadline, recorder);
        }
        columns = recorder->columns();
        co_await name_types(session, recorder->types(), columns);
    } catch (const error& thrown) {
        failure = std::make_exception_ptr(
            thrown.code() == errc::timeout
                ? thrown.with_message("the query took longer than " +
                                      std::to_string(terms.timeout.count()) + " ms, and was ended")
                : in_words_of_api(thrown));
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {  // also if we have been cancelled: nothing may go on
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        co_await session.session()->clean(stop_patience);
        co_await session.close();
        co_await asio::this_coro::reset_cancellation_state();
        std::rethrow_exception(failure);
    }
    co_return finished(sql, columns, recorder, terms.largest_answer);
}

std::optional<freeing> frees_space(std::string_view sql) noexcept {
    const std::string_view word = first_word(sql);
    const auto is = [&](std::string_view other) { return ascii::equal_ignoring_case(word, other); };
    if (is("DROP")) return freeing::drops;
    if (is("DELETE") || is("TRUNCATE")) return freeing::deletes;
    if (is("VACUUM")) return freeing::copies;
    return std::nullopt;
}

}  // namespace bitdotio
