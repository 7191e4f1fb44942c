// Converts PostgreSQL's text to JSON values, by the columns' types.
#include <bitdotio/connection.hpp>
#include <bitdotio/error.hpp>
#include <bitdotio/transaction.hpp>

#include "base/ascii.hpp"
#include "postgres/statement_words.hpp"
#include "server/api/query_runner.hpp"
#include "server/hosts/instance_session.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <utility>
#include <vector>

namespace bitdotio {

namespace {

query_value to_value(const field_view& field) {
    if (field.is_null()) return std::monostate();
    switch (field.type()) {
        case oids::boolean: return field.data() == "t";
        case oids::int2:
        case oids::int4:
        case oids::int8:
        case oids::oid_: return field.as<std::int64_t>();
        case oids::float4:
        case oids::float8: return field.as<double>();
        default: return std::string(field.data());  // numeric too: a JSON number would round it
    }
}

asio::awaitable<std::string> sql_name(connection& session, oid type) {
    const std::string known = type_name(type);
    if (known != "type " + std::to_string(type)) co_return known;
    const std::int64_t number = type;
    const result answer = co_await session.query(
        "SELECT coalesce(pg_catalog.format_type($1::bigint::oid, NULL), 'text')", number);
    co_return answer.one<std::string>();
}

asio::awaitable<result> run_guarded(connection& session, const statement& single,
                                    const query_terms& terms) {
    transaction scope = co_await session.begin();
    result answer = co_await scope.query(single);
    // Deferred triggers write too: they run now instead of at the commit.
    co_await scope.query("SET CONSTRAINTS ALL IMMEDIATE");
    const bool good = co_await terms.may_commit();
    if (!good) {
        co_await scope.rollback();
        throw error(errc::query_failed, "the statement was undone");
    }
    co_await scope.commit();
    co_return answer;
}

}  // namespace

asio::awaitable<query_result> run_query(session_target where, std::string sql, query_terms terms) {
    connection session = co_await open_session(std::move(where), "bitdotio query");
    query_result answer;
    answer.query_string = sql;
    statement script(std::move(sql));
    script.timeout(terms.timeout).largest_result(terms.largest_answer);
    std::vector<result> results;
    if (terms.single) {
        script.text_results().unprepared();
        if (terms.may_commit) {
            results.push_back(co_await run_guarded(session, script, terms));
        } else {
            results.push_back(co_await session.query(script));
        }
    } else {
        results = co_await session.script(script);
    }
    if (!results.empty()) {
        const result& last = results.back();
        for (std::size_t i = 0; i < last.column_count(); ++i) {
            query_result::column column;
            column.name = last.column_name(i);
            column.type = co_await sql_name(session, last.column_type(i));
            answer.columns.push_back(std::move(column));
        }
        for (const row_view row : last) {
            std::vector<query_value> values;
            for (std::size_t i = 0; i < row.size(); ++i) {
                values.push_back(to_value(row[i]));
            }
            answer.rows.push_back(std::move(values));
        }
    }
    co_await session.close();
    co_return answer;
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
