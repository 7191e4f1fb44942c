// The commands "copy-in" and "copy-out": CSV straight to and from a table.
#include "cli/commands.hpp"

#include <bitdotio/connection.hpp>
#include <bitdotio/copy.hpp>
#include <bitdotio/quoting.hpp>

#include "cli/direct.hpp"
#include "cli/interrupts.hpp"
#include "cli/output.hpp"
#include "cli/progress.hpp"
#include "cli/query_input.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

namespace bitdotio::cli {

namespace {

constexpr std::size_t copied_at_once = 65'536;
// What Excel and others write first; it is no part of the first value.
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

// A file that is open while this is; standard input or output for "-".
class open_file {
public:
    open_file(const std::string& name, int flags, int standard)
        : name_(name), file_(name == "-" ? standard : ::open(name.c_str(), flags, 0666)) {
        if (file_ < 0) throw failed(errc::bad_input);
    }
    ~open_file() {
        if (name_ != "-" && file_ >= 0) ::close(file_);
    }
    open_file(const open_file&) = delete;
    open_file& operator=(const open_file&) = delete;

    int descriptor() const noexcept { return file_; }
    const std::string& name() const noexcept { return name_; }
    error failed(errc code) const {
        return error(code, "cannot open " + name_ + ": " + std::strerror(errno));
    }
    std::optional<std::uint64_t> size() const {
        struct stat info {};
        if (::fstat(file_, &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
        return static_cast<std::uint64_t>(info.st_size);
    }

private:
    std::string name_;
    int file_;
};

std::string table_in_sql(const std::string& text) {
    const std::size_t dot = text.find('.');
    if (dot == std::string::npos) return quote_identifier(text);
    return quote_identifier(text.substr(0, dot)) + "." + quote_identifier(text.substr(dot + 1));
}

std::string copy_settings(const arguments& words) {
    std::string settings = " WITH (FORMAT csv";
    if (words.has("--header")) settings += ", HEADER true";
    if (const auto delimiter = words.get("--delimiter")) {
        if (delimiter->size() != 1) {
            throw error(errc::bad_input, "option --delimiter must be one character");
        }
        settings += ", DELIMITER " + quote_literal(*delimiter);
    }
    if (const auto null = words.get("--null")) settings += ", NULL " + quote_literal(*null);
    return settings + ")";
}

work send_rows(direct_target target, std::string sql, std::shared_ptr<open_file> file) {
    target.where.application_name = "bit copy-in";
    std::optional<connection> opened;
    co_await open_directly(target, opened);
    connection& session = *opened;
    copy_in rows = co_await session.copy_from(std::move(sql));
    std::uint64_t count = 0;
    {
        progress bar("copying " + (file->name() == "-" ? "standard input" : file->name()),
                     file->size());
        std::string piece;
        for (;;) {
            piece.resize(copied_at_once);
            const ssize_t got = read_some(file->descriptor(), piece.data(), piece.size());
            if (got < 0) {
                const std::string why = std::strerror(errno);
                co_await rows.cancel("the file could not be read");
                throw error(errc::bad_input, "cannot read " + file->name() + ": " + why);
            }
            if (got == 0) break;
            piece.resize(static_cast<std::size_t>(got));
            if (bar.done() == 0 && piece.starts_with(byte_order_mark)) {
                piece.erase(0, byte_order_mark.size());
            }
            co_await rows.write(piece);
            bar.add(static_cast<std::uint64_t>(got));
        }
        count = co_await rows.finish();
    }
    tell("COPY " + std::to_string(count));
    co_await session.close();
}

work receive_rows(direct_target target, std::string sql, std::string to) {
    target.where.application_name = "bit copy-out";
    std::optional<connection> opened;
    co_await open_directly(target, opened);
    connection& session = *opened;
    copy_out rows = co_await session.copy_to(std::move(sql));
    // Only now: what is refused leaves the file as it was.
    const auto file =
        std::make_shared<open_file>(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, STDOUT_FILENO);
    {
        std::optional<progress> bar;
        if (!is_terminal(file->descriptor())) bar.emplace("copying");  // rows are sign enough
        for (;;) {
            const std::optional<std::string> piece = co_await rows.next();
            if (!piece) break;
            if (file->descriptor() == STDOUT_FILENO) {
                print_data(*piece);
            } else {
                write_all(file->descriptor(), *piece);
            }
            if (bar) bar->add(piece->size());
        }
    }
    co_await session.close();
}

void run_copy(const arguments& words, const std::function<work(direct_target)>& copy) {
    const database_name name = database_of(words);
    const auto patience = words.get_duration("--timeout");
    service_place where = find_service(words);
    require_postgres(where);
    if (patience) where.options.connect.wake_timeout = *patience;
    run_at(where, [&](asio::any_io_executor executor) {
        const client service(std::move(executor), where.options);
        return copy(direct_target_of(words, where, service.connect_options(name)));
    });
}

// A query without the semicolons after it, which may not stand within COPY.
std::string rows_in_sql(const std::string& query) {
    const std::size_t last = query.find_last_not_of("; \t\r\n");
    if (last == std::string::npos) throw error(errc::bad_input, "the query of -q/--query is empty");
    return query.substr(0, last + 1);
}

void run_copy_in(const arguments& words) {
    const std::vector<std::string>& given = words.words();
    std::string sql = "COPY " + table_in_sql(given[0]);
    if (const auto columns = words.get("--columns")) {
        std::string list;
        for (std::size_t begin = 0; begin <= columns->size();) {
            const std::size_t end = std::min(columns->find(',', begin), columns->size());
            list +=
                (list.empty() ? "" : ", ") + quote_identifier(columns->substr(begin, end - begin));
            begin = end + 1;
        }
        sql += " (" + list + ")";
    }
    sql += " FROM STDIN" + copy_settings(words);
    const std::string from = given.size() > 1 ? given[1] : "-";
    const auto file = std::make_shared<open_file>(from, O_RDONLY | O_CLOEXEC, STDIN_FILENO);
    run_copy(words, [&](direct_target where) { return send_rows(std::move(where), sql, file); });
}

void run_copy_out(const arguments& words) {
    const std::vector<std::string>& given = words.words();
    const bool query = words.has("--query");
    if (words.get_all("--query").size() > 1) {
        throw error(errc::bad_input, "\"bit copy-out\" copies the rows of one -q/--query");
    }
    if (!query && given.empty()) {
        throw error(errc::bad_input,
                    "\"bit copy-out\" needs TABLE, or a query with -q/--query SQL");
    }
    if (query && given.size() > 1) {
        throw error(errc::bad_input, "give either TABLE or -q/--query, not both");
    }
    const std::string sql =
        "COPY " +
        (query ? "(" + rows_in_sql(*words.get("--query")) + "\n)" : table_in_sql(given[0])) +
        " TO STDOUT" + copy_settings(words);
    const std::size_t place = query ? 0 : 1;
    const std::string to = given.size() > place ? given[place] : "-";
    run_copy(words, [&](direct_target where) { return receive_rows(std::move(where), sql, to); });
}

}  // namespace

std::vector<command> copy_commands() {
    const option header{"", "--header", "", "The first row has the names of the columns."};
    const option delimiter{"", "--delimiter", "CHARACTER", "What stands between fields (,)."};
    const option null{"", "--null", "TEXT", "What stands for NULL (nothing)."};
    const option timeout{"", "--timeout", "DURATION",
                         "Give up waiting for the database after this time (60s)."};
    return {{"copy-in",
             "",
             "Copy CSV from a file or standard input into a table that is there.",
             {database_option,
              header,
              {"", "--columns", "NAMES", "The columns of the file, separated by commas."},
              delimiter,
              null,
              timeout},
             {"TABLE", "[FILE]"},
             &run_copy_in},
            {"copy-out",
             "",
             "Copy a table, or a query's rows, as CSV to a file or standard output.",
             {database_option,
              {"-q", "--query", "SQL", "A query instead of a table.", false, "", true},
              header,
              delimiter,
              null,
              timeout},
             {"[TABLE]", "[FILE]"},
             &run_copy_out}};
}

}  // namespace bitdotio::cli
