// Runs the commands that call the API: one call, one answer on standard output.
#include "cli/commands.hpp"

#include <bitdotio/client.hpp>
#include <bitdotio/error.hpp>

#include "base/spawn.hpp"
#include "service/api_codec.hpp"
#include "service/json_text.hpp"
#include "service/query_codec.hpp"

#include <boost/asio/io_context.hpp>

#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <utility>

namespace bitdotio::cli {

namespace {

const option database_option{"-d", "--database", "NAME", "The database, \"user/name\".", true};
const option visibility_option{"-p", "--is_private", "BOOLEAN",
                               "Whether only its owner and collaborators may read it."};
const option limit_option{"-s", "--storage_limit_bytes", "NUMBER", "Bytes it may hold at most."};

std::optional<visibility> visibility_of(const arguments& words) {
    const std::optional<bool> is_private = words.get_bool("--is_private");
    if (!is_private) {
        return std::nullopt;
    }
    return *is_private ? visibility::private_ : visibility::public_;
}

error unreadable(const std::string& name, const char* why) {
    return error(errc::bad_input, "cannot read the statement from " + name + ": " + why);
}

std::string read_all(std::istream& in, const std::string& name) {
    if (!in) {
        throw unreadable(name, std::strerror(errno));
    }
    try {
        return {std::istreambuf_iterator<char>(in), {}};
    } catch (const std::ios_base::failure&) {  // such as for a directory
        throw unreadable(name, std::strerror(errno));
    }
}

std::string query_text(const arguments& words) {
    const auto sql = words.get("--query");
    const auto file = words.get("--query_file");
    if (sql.has_value() == file.has_value()) {
        throw error(errc::bad_input, sql ? "give either -q/--query or -qf/--query_file, not both"
                                         : "give the statement with -q/--query SQL, or "
                                           "-qf/--query_file FILE");
    }
    if (sql) {
        return *sql;
    }
    if (*file == "-") {
        return read_all(std::cin, "standard input");
    }
    std::ifstream in(*file, std::ios::binary);
    return read_all(in, "\"" + *file + "\"");
}

// Prints the rows as they came: as values they could lose digits.
std::string query_answer(query_result answer, data_format format) {
    answer.rows.clear();
    std::string text = api::encode_query_answer(answer, format);
    constexpr std::string_view no_rows = "[]}";
    text.replace(text.size() - no_rows.size(), 2, answer.data_json);
    return text;
}

// All mistakes in the words are found before the first await.
using work = asio::awaitable<void>;

work list(client service) {
    print_json(api::encode(co_await service.list_databases()));
}

work create(client service, std::string name, visibility visible,
            std::optional<std::int64_t> limit) {
    print_json(api::encode(co_await service.create_database(std::move(name), visible, limit)));
}

work info(client service, database_name name) {
    print_json(api::encode(co_await service.get_database(std::move(name))));
}

work update(client service, database_name name, database_changes changes) {
    print_json(api::encode(co_await service.update_database(std::move(name), std::move(changes))));
}

work remove(client service, database_name name) {
    co_await service.delete_database(name);
    std::cout << "deleted " << name << '\n';
}

work query(client service, database_name name, std::string sql, data_format format) {
    query_result answer = co_await service.query(std::move(name), std::move(sql), format);
    print_json(query_answer(std::move(answer), format));
}

database_name named(const arguments& words) {
    return database_name(*words.get("--database"));
}

database_changes changes_of(const arguments& words) {
    database_changes changes;
    changes.name = words.get("--name");
    changes.visible = visibility_of(words);
    changes.storage_limit_bytes = words.get_size("--storage_limit_bytes");
    if (!changes.name && !changes.visible && !changes.storage_limit_bytes) {
        throw error(errc::bad_input,
                    "nothing to change: give at least one of -n/--name, "
                    "-p/--is_private and -s/--storage_limit_bytes");
    }
    return changes;
}

// Checks a command's words, and returns the work that waits for a client.
std::function<work(client)> prepare(const arguments& words) {
    const std::string& command = words.command();
    if (command == "query") {
        return [name = named(words), sql = query_text(words),
                format = words.has("--objects") ? data_format::objects : data_format::rows](
                   client service) { return query(std::move(service), name, sql, format); };
    }
    if (command == "db create") {
        return [name = *words.get("--name"),
                visible = visibility_of(words).value_or(visibility::private_),
                limit = words.get_size("--storage_limit_bytes")](client service) {
            return create(std::move(service), name, visible, limit);
        };
    }
    if (command == "db info") {
        return [name = named(words)](client service) { return info(std::move(service), name); };
    }
    if (command == "db update") {
        return [name = named(words), changes = changes_of(words)](client service) {
            return update(std::move(service), name, changes);
        };
    }
    if (command == "db delete") {
        return [name = named(words)](client service) { return remove(std::move(service), name); };
    }
    return list;
}

}  // namespace

void print_json(const std::string& json) {
    std::cout << (::isatty(STDOUT_FILENO) ? api::indented(json) : json) << '\n';
    if (!std::cout.flush()) {
        throw error(errc::system_failed, "cannot write the answer to standard output");
    }
}

std::vector<command> api_commands() {
    return {
        {"query",
         "",
         "Run one statement and print what it returns.",
         {database_option,
          {"-q", "--query", "SQL", "The statement."},
          {"-qf", "--query_file", "FILE", "A file that holds it; \"-\" is standard input."},
          {"-o", "--objects", "", "Print each row as an object, not as a list."}}},
        {"db list", "", "List the databases of the key's owner.", {}},
        {"db create",
         "",
         "Make a database.",
         {{"-n", "--name", "NAME", "Its name, without the user.", true},
          visibility_option,
          limit_option}},
        {"db info", "db get", "Tell about a database.", {database_option}},
        {"db update",
         "",
         "Change a database; what is not given stays as it is.",
         {database_option,
          {"-n", "--name", "NAME", "Its new name, without the user."},
          visibility_option,
          limit_option}},
        {"db delete", "", "Delete a database and all it holds.", {database_option}},
    };
}

void run_api_command(const arguments& words) {
    const std::function<work(client)> prepared = prepare(words);
    client_options options;
    options.user_agent = "bit/" BITDOTIO_VERSION;
    if (const auto key = words.get(key_option)) {
        options.key.emplace(*key);
    }
    asio::io_context io(1);
    client service(io.get_executor(), std::move(options));
    std::exception_ptr failure;
    spawn_alone(io.get_executor(), prepared(service),
                [&](std::exception_ptr thrown) noexcept { failure = std::move(thrown); });
    io.run();
    if (failure) {
        std::rethrow_exception(failure);
    }
    if (!std::cout.flush()) {
        throw error(errc::system_failed, "cannot write the answer to standard output");
    }
}

}  // namespace bitdotio::cli
