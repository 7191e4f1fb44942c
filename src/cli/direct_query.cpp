// Runs statements over a Postgres connection, and prints their rows as they come.
#include "cli/query.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/open_part.hpp>

#include "base/deadline.hpp"
#include "cli/direct.hpp"
#include "cli/output.hpp"
#include "postgres/postgres_session.hpp"
#include "service/field_value.hpp"
#include "service/query_codec.hpp"

#include <unistd.h>
#include <memory>
#include <optional>
#include <utility>

namespace bitdotio::cli {

namespace {

constexpr std::size_t rows_of_a_piece = 100;
constexpr std::string_view foreign_type = "type with OID ";

// Prints the answers of one text of SQL, which may have several statements.
class answer_printer {
public:
    answer_printer(const query_wish& wish, std::string sql, paged_output& out)
        : wish_(wish), sql_(std::move(sql)), out_(out) {
        to_ = [this](std::string_view piece) {
            text_ += piece;
            if (text_.size() >= 65'536) flush();
        };
    }

    // Whether the columns of the next rows are still to be named.
    bool is_between() const noexcept { return !open_; }

    void begin(std::vector<query_result::column> columns) {
        open_ = true;
        rows_ = 0;
        if (is_json() || wish_.format == row_format::jsonl) {
            const bool objects = wish_.format != row_format::json;
            if (is_json()) to_(api::encode_query_head(sql_, columns));
            encoder_.emplace(std::move(columns),
                             objects ? data_format::objects : data_format::rows);
            return;
        }
        writer_ =
            make_row_writer(wish_.format, out_, columns_of_screen(STDOUT_FILENO), wish_.color);
        std::vector<answer_column> shown;
        for (query_result::column& one : columns) {
            shown.push_back({std::move(one.name), std::move(one.type)});
        }
        writer_->begin(std::move(shown));
    }

    void row(const row_view& row) {
        ++rows_;
        if (encoder_) {
            encoder_->add([&](std::size_t i) { return api_value_of(row[i]); },
                          is_json() ? to_ : line_of_object());
            if (!is_json()) to_("\n");
            return;
        }
        cells_.clear();
        for (std::size_t i = 0; i < row.size(); ++i) {
            cells_.push_back(row[i].is_null() ? cell() : cell(std::string(row[i].data())));
        }
        writer_->row(cells_);
    }

    // Parameters: `tag` is the server's word for what the statement did.
    void end(std::string_view tag) {
        const bool had_columns = open_;
        // As over the API: one line for each answer.
        if (!had_columns && is_json()) to_(api::encode_query_head(sql_, {}));
        if (is_json()) to_(std::string(api::query_tail) + "\n");
        if (writer_) writer_->end();
        flush();
        encoder_.reset();
        writer_.reset();
        open_ = false;
        out_.finish();
        if (!wish_.counts) return;
        if (had_columns) {
            tell(count_text(rows_));
        } else if (!tag.empty()) {
            tell(tag);
        }
    }

private:
    bool is_json() const {
        return wish_.format == row_format::json || wish_.format == row_format::objects;
    }
    // Without the comma that stands between the objects of a list.
    api::json_sink line_of_object() {
        return [this, first = true](std::string_view piece) mutable {
            if (std::exchange(first, false) && piece == ",") return;
            text_ += piece;
            if (text_.size() >= 1 << 20) flush();
        };
    }
    void flush() { out_.write_data(std::exchange(text_, {})); }

    const query_wish& wish_;
    const std::string sql_;
    paged_output& out_;
    api::json_sink to_;
    std::string text_;
    std::optional<api::row_encoder> encoder_;
    std::unique_ptr<row_writer> writer_;
    std::vector<cell> cells_;
    std::uint64_t rows_ = 0;
    bool open_ = false;
};

// The names of types that are the database's own come from a connection beside the busy one.
work name_foreign_types(connect_options where, const result& part,
                        std::vector<query_result::column>& columns) {
    std::optional<connection> beside;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        if (!columns[i].type.starts_with(foreign_type)) continue;
        if (!beside) beside.emplace(co_await connection::open(where));
        const std::int64_t number = part.column_type(i);
        const result answer = co_await beside->query(
            "SELECT coalesce(pg_catalog.format_type($1::bigint::oid, NULL), 'text')", number);
        columns[i].type = answer.one<std::string>();
    }
    if (beside) co_await beside->close();
}

work print_parts(std::shared_ptr<postgres_session> session, const bound_statement& one,
                 const connect_options& where, answer_printer& printer) {
    params values;
    for (const std::string& value : one.values)
        values.add(value);
    statement sql(one.sql);
    sql.text_results();
    const bool bound = !one.values.empty();
    std::uint64_t number = 0;
    if (bound) {
        number = co_await session->start_rows(std::move(sql), std::move(values));
    } else {
        number = co_await session->start_script(std::move(sql), false);
    }
    wire::open_part<postgres_session> stream(session, number);
    bool answered = false;
    for (;;) {
        const std::vector<result> parts = co_await session->next_rows(number, rows_of_a_piece);
        if (parts.empty()) break;
        for (const result& part : parts) {
            if (printer.is_between() && part.column_count() > 0) {
                std::vector<query_result::column> columns;
                for (std::size_t i = 0; i < part.column_count(); ++i) {
                    query_result::column column;
                    column.name = part.column_name(i);
                    column.type = type_name(part.column_type(i));
                    columns.push_back(std::move(column));
                }
                co_await name_foreign_types(where, part, columns);
                printer.begin(std::move(columns));
            }
            for (const row_view row : part)
                printer.row(row);
            if (part.empty()) {  // the statement ends
                printer.end(part.command_tag());
                answered = true;
            }
        }
    }
    if (bound) {
        printer.end("");
    } else if (!answered) {
        printer.end("done");  // a text without a statement, as over the API
    }
    stream.end();
}

}  // namespace

work query_directly(direct_target target, query_wish wish) {
    connect_options& where = target.where;
    where.application_name = "bit query";
    where.on_notice = [](const server_message& notice) {
        std::string line = notice.severity + ": " + printable(notice.message);
        if (!notice.detail.empty()) line += " (" + printable(notice.detail) + ")";
        tell(line);
    };
    const auto begin = std::chrono::steady_clock::now();
    std::optional<connection> opened;
    co_await open_directly(target, opened);
    connection& session = *opened;
    if (wish.verbose) {
        tell("bit: connected to " + where.hosts.at(0).host + ":" +
             std::to_string(where.hosts[0].port) + " after " +
             time_text(std::chrono::steady_clock::now() - begin));
    }
    paged_output out(wish.paged);
    for (const bound_statement& one : wish.statements) {
        const auto asked = std::chrono::steady_clock::now();
        answer_printer printer(wish, one.sql, out);
        try {
            co_await with_deadline(print_parts(session.session(), one, where, printer),
                                   deadline_after(wish.timeout));
        } catch (const error& failure) {
            const std::string hint = binding_hint(failure, one.sql, true);
            if (hint.empty()) throw;
            throw failure.with_message(failure.what() + hint);
        }
        if (wish.verbose) {
            tell("bit: answered after " + time_text(std::chrono::steady_clock::now() - asked));
        }
    }
    co_await session.close();
}

}  // namespace bitdotio::cli
