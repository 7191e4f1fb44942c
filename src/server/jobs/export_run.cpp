// Runs an export: a query, its columns, a COPY.
#include "server/jobs/export_run.hpp"
#include "server/formats/column_types.hpp"
#include "server/formats/file_output.hpp"
#include "server/formats/job_failure.hpp"
#include "server/formats/row_writer.hpp"
#include "values/sql_scanner.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/quoting.hpp>
#include <bitdotio/transaction.hpp>

#include <boost/asio/use_awaitable.hpp>

#include <optional>
#include <utility>

namespace bitdotio {

namespace {

constexpr std::chrono::hours export_limit{12};

// What stands inside another statement.
std::string query_of(const export_options& order) {
    if (order.query.empty()) {
        return "SELECT * FROM " + quote_identifier({order.schema_name, order.table_name});
    }
    return only_statement(order.query);
}

asio::awaitable<std::vector<export_column>> columns_of(transaction& scope, std::string query) {
    statement describe("SELECT * FROM (" + query + "\n) AS exported LIMIT 0");
    describe.text_results();
    const result answer = co_await scope.query(describe);
    std::vector<std::string> names;
    for (std::size_t i = 0; i < answer.column_count(); ++i) {
        names.emplace_back(answer.column_name(i));
    }
    names = usable_names(names, names.size());
    std::vector<export_column> columns;
    for (std::size_t i = 0; i < answer.column_count(); ++i) {
        columns.push_back({std::move(names[i]), answer.column_type(i)});
    }
    co_return columns;
}

std::unique_ptr<row_writer> make_writer(export_format format, const std::filesystem::path& file,
                                        std::vector<export_column> columns) {
    switch (format) {
        case export_format::xls: return make_xlsx_writer(file, std::move(columns));
        case export_format::parquet: return make_parquet_writer(file, std::move(columns));
        default: return make_json_writer(file, std::move(columns));
    }
}

// Ends an export whose file is too long. It looks at the file now and then, because only its
// writer knows what its text comes to there. It blocks.
class length_check {
public:
    // Parameters: `whole` if the text goes to a temporary file before the file is written.
    length_check(std::filesystem::path file, std::uint64_t largest, bool whole)
        : file_(std::move(file)), largest_(largest), whole_(whole) {}

    void passed(std::size_t text) {
        text_ += text;
        if (text_ - seen_ >= (std::size_t{1} << 20)) look();
    }
    void look() {
        seen_ = text_;
        std::error_code missing;
        const std::uintmax_t size = std::filesystem::file_size(file_, missing);
        if ((!missing && size > largest_) || (whole_ && text_ > largest_)) {
            throw job_failure("too_large", "the exported file is longer than " +
                                               std::to_string(largest_) +
                                               " bytes: export less, or in parts");
        }
    }

private:
    const std::filesystem::path file_;
    const std::uint64_t largest_;
    const bool whole_;
    std::uint64_t text_ = 0;
    std::uint64_t seen_ = 0;
};

// Where the pieces of a COPY go. Its functions block.
class piece_sink {
public:
    piece_sink() = default;
    virtual ~piece_sink() = default;
    piece_sink(const piece_sink&) = delete;
    piece_sink& operator=(const piece_sink&) = delete;

    virtual void open() = 0;
    virtual void write(std::string& piece) = 0;  // which it may change
    virtual void finish() = 0;
};

// CSV is PostgreSQL's own.
class csv_sink final : public piece_sink {
public:
    explicit csv_sink(std::filesystem::path file) : file_(std::move(file)) {}

    void open() override { out_.emplace(file_); }
    void write(std::string& piece) override { out_->write(piece); }
    void finish() override { out_->finish(); }

private:
    const std::filesystem::path file_;
    std::optional<file_output> out_;
};

class row_sink final : public piece_sink {
public:
    row_sink(export_format format, std::filesystem::path file, std::vector<export_column> columns)
        : format_(format),
          file_(std::move(file)),
          columns_(std::move(columns)),
          count_(columns_.size()) {}

    void open() override { writer_ = make_writer(format_, file_, std::move(columns_)); }
    void write(std::string& piece) override { write_copy_rows(piece, count_, *writer_); }
    void finish() override { writer_->finish(); }

private:
    const export_format format_;
    const std::filesystem::path file_;
    std::vector<export_column> columns_;
    const std::size_t count_;
    std::unique_ptr<row_writer> writer_;
};

asio::awaitable<void> pump(worker_threads& threads, transaction& scope, std::string sql,
                           piece_sink& to, length_check& length,
                           std::function<void(std::size_t)> moved) {
    statement copy(std::move(sql));
    copy.timeout(export_limit);
    copy_out rows = co_await scope.copy_to(copy);
    std::function<void()> open = [&] { to.open(); };
    co_await threads.run(open);
    std::optional<std::string> piece = co_await rows.next();
    std::function<void()> write = [&] {
        to.write(*piece);
        length.passed(piece->size());
    };
    while (piece) {
        co_await threads.run(write);
        if (moved) moved(piece->size());
        piece = co_await rows.next();
    }
    std::function<void()> finish = [&] {
        to.finish();
        length.look();
    };
    co_await threads.run(finish);
}

// Whether a piece of a text means nothing to PostgreSQL.
bool is_nothing(std::string_view piece, sql::part_kind kind) {
    if (kind == sql::part_kind::other) {
        return piece.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
    }
    // For PostgreSQL a carriage return ends such a comment too, and what follows it counts.
    const bool ends_early = piece.starts_with("--") && piece.find('\r') < piece.size() - 1;
    return kind == sql::part_kind::comment && !ends_early;
}

}  // namespace

std::string only_statement(std::string_view text) {
    std::optional<std::size_t> begin;
    std::size_t end = 0;
    std::size_t at = 0;
    bool over = false;
    sql::scanner scan(text);
    while (!scan.at_end()) {
        const std::string_view piece = scan.next();
        const std::size_t from = std::exchange(at, at + piece.size());
        if (is_nothing(piece, scan.kind())) continue;
        if (piece == ";") {
            over = begin.has_value();
            continue;
        }
        // Where strings end is not certain then: PostgreSQL refuses a second statement itself.
        if (over && !scan.is_doubtful()) {
            throw error(errc::bad_input,
                        "an export takes one statement, and these are several: export the rows "
                        "of each by itself");
        }
        if (!begin) begin = from;
        end = at;
    }
    if (!begin) {
        throw error(errc::bad_input,
                    "an export needs a statement, and there is none in \"query_string\"");
    }
    return std::string(text.substr(*begin, end - *begin));
}

asio::awaitable<void> run_export(worker_threads& threads, connection session, export_options order,
                                 std::filesystem::path file, std::uint64_t largest,
                                 std::function<void(std::size_t)> moved) {
    length_check length(file, largest, order.format == export_format::xls);
    transaction_options reading;
    reading.isolation = isolation_level::repeatable_read;
    reading.read_only = true;
    transaction scope = co_await session.begin(reading);
    // The text forms that writers read, whatever the role's settings are.
    co_await scope.query(
        "SELECT set_config('datestyle', 'ISO', true), set_config('timezone', 'UTC', true), "
        "set_config('bytea_output', 'hex', true), set_config('intervalstyle', 'postgres', true), "
        "set_config('extra_float_digits', '1', true)");
    const std::string query = query_of(order);
    const std::string copy = "COPY (" + query + "\n) TO STDOUT";
    if (order.format == export_format::csv) {
        csv_sink to(file);
        co_await pump(threads, scope, copy + " (FORMAT csv, HEADER)", to, length, std::move(moved));
    } else {
        std::vector<export_column> columns = co_await columns_of(scope, query);
        row_sink to(order.format, file, std::move(columns));
        co_await pump(threads, scope, copy, to, length, std::move(moved));
    }
    // Up to PostgreSQL 15, functions make large objects even in a transaction that only reads.
    co_await scope.rollback();
    co_await session.close();
}

}  // namespace bitdotio
