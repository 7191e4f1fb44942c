// Runs an import: a transaction, a table, a COPY; again if a value did not fit.
#include "server/jobs/import_run.hpp"
#include "server/formats/job_failure.hpp"

#include <bitdotio/quoting.hpp>

#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <utility>

namespace bitdotio {

namespace {

constexpr std::chrono::hours load_limit{12};
constexpr std::size_t largest_piece = 1024 * 1024;

// In pieces: libpq keeps a copy of what it was given and has not sent.
asio::awaitable<void> write(copy_in& rows, std::string slice) {
    if (slice.size() > largest_piece) {
        for (std::size_t at = 0; at < slice.size(); at += largest_piece) {
            co_await rows.write(slice.substr(at, largest_piece));
        }
    } else if (!slice.empty()) {
        co_await rows.write(std::move(slice));
    }
}

}  // namespace

import_run::import_run(worker_threads& threads, import_order order)
    : threads_(threads),
      order_(std::move(order)),
      file_(std::make_shared<jailed_file>(order_.file, order_.file_name, order_.options.header,
                                          order_.died)) {}

// Waits for the process on another thread; when cancelled, the process ends and with it the wait.
asio::awaitable<void> import_run::read(std::function<void()> work) {
    std::function<void()> interrupt = [file = file_] { file->stop(); };
    co_await threads_.run(std::move(work), std::move(interrupt));
}

asio::awaitable<void> import_run::close() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    std::function<void()> work = [this] { file_->close(); };
    co_await threads_.run(work);
}

asio::awaitable<void> import_run::look() {
    std::function<void()> work = [this] {
        for (table_source& each : file_->tables())
            tables_.emplace_back(std::move(each));
        // Names that are the same once they are cut would fill one table.
        for (const table_load& each : tables_)
            table_names_.push_back(order_.options.table_name + "_" + each.name());
        table_names_ = usable_names(table_names_, table_names_.size());
        if (tables_.size() == 1) table_names_.front() = order_.options.table_name;
    };
    co_await read(work);
    for (table_load& each : tables_) {
        std::function<void()> sample = [&each] { each.sample(); };
        co_await read(sample);
    }
}

asio::awaitable<void> import_run::load(connection session, step again, step before_commit) {
    while (true) {
        const bool done = co_await attempt(session, before_commit);
        if (done) break;
        co_await again();
    }
    co_await session.close();
}

// Returns false if a value did not fit its column; the next attempt will fit.
asio::awaitable<bool> import_run::attempt(connection& session, step& before_commit) {
    transaction scope = co_await session.begin();
    for (table_load& each : tables_) {
        co_await prepare(scope, each);
        statement copy(copy_statement(each));
        copy.timeout(load_limit);
        copy_in rows = co_await scope.copy_from(copy);
        table_load::progress progress = table_load::progress::more;
        std::string slice;
        std::function<void()> fill = [&] { progress = each.fill(slice); };
        std::function<void()> rewind = [&] { each.rewind(); };
        co_await read(rewind);
        while (progress == table_load::progress::more) {
            slice.clear();
            co_await read(fill);
            if (progress == table_load::progress::misfit) break;
            if (!slice.empty() && order_.moved) order_.moved(slice.size());
            co_await write(rows, std::move(slice));
        }
        if (progress == table_load::progress::misfit) {
            co_await rows.cancel("a value does not fit its column");
            co_await scope.rollback();
            bool more = true;
            std::function<void()> widen = [&] { more = each.widen(); };
            while (more)
                co_await read(widen);
            co_return false;
        }
        co_await rows.finish();
    }
    co_await before_commit();
    co_await scope.commit();
    co_return true;
}

// Makes the table if it is missing.
asio::awaitable<void> import_run::prepare(transaction& scope, table_load& table) {
    const std::string name = table_of(table);
    const std::string schema = order_.options.schema_name;
    const result there = co_await scope.query(
        "SELECT a.attname::text, t.typname::text FROM pg_catalog.pg_class c "
        "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid "
        "JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
        "WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p') "
        "AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum",
        schema, name);
    table.forget_existing();
    target_ = table.columns();
    if (there.size() == 0) {
        std::string create = "CREATE TABLE " + quote_identifier({schema, name}) + " (";
        for (const load_column& each : target_) {
            create += (&each == &target_.front() ? "" : ", ") + quote_identifier(each.name) + " " +
                      std::string(sql_name(each.type));
        }
        statement make(create + ")");
        make.unprepared();
        co_await scope.query(make);
        co_return;
    }
    std::vector<load_column> known;
    for (const row_view row : there) {
        const std::string type = row[1].as<std::string>();
        load_column column;
        column.name = row[0].as<std::string>();
        column.type = type == "json" || type == "jsonb" ? column_type::jsonb : column_type::text;
        known.push_back(std::move(column));
    }
    if (!table.has_names()) {
        if (target_.size() != known.size()) {
            throw job_failure("column_mismatch", "the file has " + std::to_string(target_.size()) +
                                                     " columns and the table \"" + name +
                                                     "\" has " + std::to_string(known.size()));
        }
        target_ = known;
    }
    for (load_column& each : target_) {
        const auto found = std::find_if(known.begin(), known.end(), [&](const load_column& one) {
            return one.name == each.name;
        });
        if (found == known.end()) {
            throw job_failure(
                "column_mismatch",
                "the table \"" + name + "\" is there and has no column \"" + each.name + "\"");
        }
        each.type = found->type;
    }
    table.take_existing(target_);
}

std::string import_run::table_of(const table_load& table) const {
    return table_names_.at(static_cast<std::size_t>(&table - tables_.data()));
}

std::string import_run::copy_statement(const table_load& table) const {
    std::string text = "COPY " + quote_identifier({order_.options.schema_name, table_of(table)});
    for (const load_column& each : target_) {
        text += (&each == &target_.front() ? " (" : ", ") + quote_identifier(each.name);
    }
    return text + ") FROM STDIN";
}

}  // namespace bitdotio
