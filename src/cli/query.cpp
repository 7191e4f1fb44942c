// Checks what a query asks for, and prints what the API answers.
#include "cli/query.hpp"

#include "base/deadline.hpp"
#include "cli/json_rows.hpp"
#ifndef BITDOTIO_WITHOUT_POSTGRES
#include "cli/direct.hpp"
#endif
#include "cli/output.hpp"
#include "service/api_codec.hpp"
#include "service/query_codec.hpp"

#include <unistd.h>
#include <algorithm>
#include <memory>
#include <utility>

namespace bitdotio::cli {

namespace {

// However short a statement may be, its database has this time to wake.
constexpr std::chrono::milliseconds least_patience{5'000};

// The rows as they came: as values they could lose digits.
std::string whole_answer(query_result answer, data_format format) {
    answer.rows.clear();
    std::string text = api::encode_query_answer(answer, format);
    constexpr std::string_view no_rows = "[]}";
    text.replace(text.size() - no_rows.size(), 2, answer.data_json);
    return text;
}

// An object on one line, whatever space the service puts into it.
std::string on_one_line(std::string_view object) {
    std::string line;
    bool quoted = false;
    for (std::size_t i = 0; i < object.size(); ++i) {
        const char c = object[i];
        if (quoted && c == '\\') {
            line += c;
            line += object[++i];
            continue;
        }
        if (c == '"') quoted = !quoted;
        if (quoted || (c != ' ' && c != '\n' && c != '\r' && c != '\t')) line += c;
    }
    return line;
}

void print_answer(query_result answer, const query_wish& wish, paged_output& out) {
    const bool has_columns = !answer.columns.empty();
    std::uint64_t rows = 0;
    if (wish.format == row_format::json || wish.format == row_format::objects) {
        rows = answer.rows.size();
        print_json(whole_answer(std::move(answer), wish.format == row_format::objects
                                                       ? data_format::objects
                                                       : data_format::rows));
    } else if (wish.format == row_format::jsonl) {
        each_element(answer.data_json, [&](std::string_view object) {
            out.write_data(on_one_line(object) + "\n");
            ++rows;
        });
    } else {
        const auto writer =
            make_row_writer(wish.format, out, columns_of_screen(STDOUT_FILENO), wish.color);
        std::vector<answer_column> columns;
        for (const query_result::column& one : answer.columns) {
            columns.push_back({one.name, one.type});
        }
        if (has_columns) writer->begin(std::move(columns));
        std::vector<cell> cells;
        each_element(answer.data_json, [&](std::string_view row) {
            cells.clear();
            each_element(row, [&](std::string_view value) { cells.push_back(cell_of(value)); });
            writer->row(cells);
            ++rows;
        });
        if (has_columns) writer->end();
    }
    out.finish();
    // The API does not tell how many rows a statement without an answer has changed.
    if (wish.counts) tell(has_columns || rows > 0 ? count_text(rows) : "done");
}

work query_over_api(client service, query_wish wish) {
    paged_output out(wish.paged);
    const bool objects = wish.format == row_format::objects || wish.format == row_format::jsonl;
    for (const bound_statement& one : wish.statements) {
        const auto begin = std::chrono::steady_clock::now();
        query_result answer;
        try {
            answer = co_await service.query(*wish.database, one.sql,
                                            objects ? data_format::objects : data_format::rows);
        } catch (const error& failure) {
            const std::string hint = binding_hint(failure, one.sql, false);
            if (!hint.empty()) throw failure.with_message(failure.what() + hint);
            if (failure.code() != errc::result_too_large) throw;
            throw failure.with_message(
                "the answer is longer than the API sends: add --direct, which prints rows as they "
                "come, or LIMIT to the statement");
        }
        if (wish.verbose) {
            tell("bit: answered after " + time_text(std::chrono::steady_clock::now() - begin));
        }
        print_answer(std::move(answer), wish, out);
    }
}

row_format format_of(const arguments& words) {
    if (const auto named = words.get("--format")) {
        if (words.has("--objects") && *named != "objects") {
            throw error(errc::bad_input, "give either --format or -o/--objects, not both");
        }
        return row_format_named(*named, words.shown_name("--format"));
    }
    if (words.has("--objects")) return row_format::objects;
    return wants_json(words) ? row_format::json : row_format::table;
}

query_wish wish_of(const arguments& words) {
    query_wish wish;
    const std::vector<std::string> statements = statements_of(words);
    const auto values = parameters_of(words);
    if (!values.empty() && !words.has("--direct")) {
        throw error(errc::bad_input,
                    "-p/--parameter binds values over a Postgres connection: add --direct");
    }
    wish.statements = bind_parameters(statements, values);
    wish.format = format_of(words);
    wish.timeout = words.get_duration("--timeout").value_or(std::chrono::milliseconds(0));
    wish.paged = wish.format == row_format::table && !words.has("--no-pager");
    wish.color = may_use_color(words, STDOUT_FILENO);
    wish.verbose = words.has("--verbose");
    wish.counts =
        wish.verbose || (wish.format != row_format::json && wish.format != row_format::objects);
    return wish;
}

// Errors whose words are for callers of the library, in those of the command.
work within_time(work running, std::chrono::milliseconds timeout) {
    try {
        co_await std::move(running);
    } catch (const error& failure) {
        if (std::string_view(failure.what()).starts_with("COPY from or to the client")) {
            throw failure.with_message(
                "COPY from STDIN or to STDOUT is no query: use \"bit copy-in\" or "
                "\"bit copy-out\"");
        }
        if (failure.code() != errc::timeout || timeout.count() == 0) throw;
        throw failure.with_message("the query took longer than " + time_text(timeout) +
                                   ", and was stopped");
    }
}

void run_query_command(const arguments& words) {
    query_wish wish = wish_of(words);
    wish.database = database_of(words);
    service_place where = find_service(words);
    if (wish.timeout.count() > 0) {
        where.options.request_timeout = wish.timeout;
        std::chrono::milliseconds& wake = where.options.connect.wake_timeout;
        wake = std::min(wake, std::max(wish.timeout, least_patience));
    }
    const bool direct = words.has("--direct");
#ifdef BITDOTIO_WITHOUT_POSTGRES
    if (direct) throw error(errc::bad_input, "this bit was built without PostgreSQL: no --direct");
#else
    if (direct) require_postgres(where);
#endif
    run_at(where, [&](asio::any_io_executor executor) {
        const client service(std::move(executor), where.options);
#ifndef BITDOTIO_WITHOUT_POSTGRES
        if (direct) {
            return within_time(
                query_directly(
                    direct_target_of(words, where, service.connect_options(*wish.database)), wish),
                wish.timeout);
        }
#endif
        return within_time(query_over_api(service, wish), wish.timeout);
    });
}

}  // namespace

std::string count_text(std::uint64_t rows) {
    return "(" + std::to_string(rows) + (rows == 1 ? " row)" : " rows)");
}

std::vector<command> query_commands() {
    return {{"query",
             "",
             "Run statements and print what they return.",
             {database_option,
              {"-q", "--query", "SQL", "A statement; given several times, they run in order.",
               false, "", true},
              {"-qf", "--query_file", "FILE", "A file that holds it; \"-\" is standard input.",
               false, "file", true},
              {"-o", "--objects", "", "Print each row as an object, not as a list."},
              {"", "--format", "FORMAT",
               "json, objects, table, csv, tsv, jsonl or values; by default table on a terminal, "
               "else json.",
               false, row_formats},
              {"", "--direct", "",
               "Over a Postgres connection instead of the API: results of any size."},
              {"-p", "--parameter", "NAME=VALUE",
               "Bind a value to :NAME in the statement; with --direct.", false, "", true},
              {"", "--timeout", "DURATION", "Stop a statement after this time: 500ms, 1s, 2m."},
              {"", "--no-pager", "", "Never show a long table in a pager."}},
             {},
             &run_query_command}};
}

}  // namespace bitdotio::cli
