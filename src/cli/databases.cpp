// The commands "db …".
#include "cli/commands.hpp"

#include "cli/exit_codes.hpp"
#include "cli/interrupts.hpp"
#include "cli/output.hpp"
#include "cli/row_writer.hpp"
#include "service/api_codec.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <utility>

namespace bitdotio::cli {

namespace {

const option visibility_option{"-p",      "--is_private",
                               "BOOLEAN", "Whether only its owner and collaborators may read it.",
                               false,     "true|false"};
const option limit_option{"-s", "--storage_limit_bytes", "NUMBER", "Bytes it may hold at most."};

std::optional<visibility> visibility_of(const arguments& words) {
    const std::optional<bool> is_private = words.get_bool("--is_private");
    if (!is_private) return std::nullopt;
    return *is_private ? visibility::private_ : visibility::public_;
}

void show_databases(const arguments& words, const std::vector<database>& all) {
    std::vector<std::vector<cell>> rows;
    for (const database& one : all) {
        rows.push_back({one.name.full(), one.visible == visibility::private_ ? "private" : "public",
                        std::string(api::role_name(one.role)),
                        size_text(static_cast<std::uint64_t>(
                            std::max<std::int64_t>(one.storage_usage_bytes, 0))),
                        one.storage_limit_bytes
                            ? cell(size_text(static_cast<std::uint64_t>(*one.storage_limit_bytes)))
                            : std::nullopt,
                        day_text(one.date_created)});
    }
    print_table(words,
                {{"database", ""},
                 {"seen", ""},
                 {"role", ""},
                 {"used", "numeric"},
                 {"limit", "numeric"},
                 {"made", ""}},
                rows);
}

void show(const arguments& words, const database& one) {
    if (wants_json(words)) {
        print_json(api::encode(one));
    } else {
        show_databases(words, {one});
    }
}

work list_databases(const arguments& words, client service) {
    const std::vector<database> all = co_await service.list_databases();
    if (wants_json(words)) {
        print_json(api::encode(all));
    } else {
        show_databases(words, all);
    }
}

work create_database(const arguments& words, client service, std::string name, visibility visible,
                     std::optional<std::int64_t> limit) {
    show(words, co_await service.create_database(std::move(name), visible, limit));
}

work tell_database(const arguments& words, client service, database_name name) {
    show(words, co_await service.get_database(std::move(name)));
}

work update_database(const arguments& words, client service, database_name name,
                     database_changes changes) {
    show(words, co_await service.update_database(std::move(name), std::move(changes)));
}

work delete_database(client service, database_name name) {
    co_await service.delete_database(name);
    print("deleted " + name.full() + "\n");
    if (is_terminal(STDOUT_FILENO)) {
        tell("bit: its name stays blocked for a while: a new database needs another one");
    }
}

void run_db_list(const arguments& words) {
    run_with_client(words, [&](client service) { return list_databases(words, service); });
}

void run_db_create(const arguments& words) {
    const std::string name = *words.get("--name");
    const visibility visible = visibility_of(words).value_or(visibility::private_);
    const auto limit = words.get_size("--storage_limit_bytes");
    run_with_client(words, [&](client service) {
        return create_database(words, service, name, visible, limit);
    });
}

void run_db_info(const arguments& words) {
    const database_name name = database_of(words);
    run_with_client(words, [&](client service) { return tell_database(words, service, name); });
}

void run_db_update(const arguments& words) {
    database_changes changes;
    changes.name = words.get("--name");
    changes.visible = visibility_of(words);
    changes.storage_limit_bytes = words.get_size("--storage_limit_bytes");
    if (!changes.name && !changes.visible && !changes.storage_limit_bytes) {
        throw error(errc::bad_input,
                    "nothing to change: give at least one of -n/--name, "
                    "-p/--is_private and -s/--storage_limit_bytes");
    }
    const database_name name = database_of(words);
    run_with_client(words,
                    [&](client service) { return update_database(words, service, name, changes); });
}

void run_db_delete(const arguments& words) {
    // What is deleted is named: no default decides over it.
    const database_name name(*words.get("--database"));
    const service_place where = find_service(words);
    confirm(words, "Delete " + name.full() + " and all it holds at " + where.options.api_url +
                       "? Its name stays blocked for a while.");
    // At the very place that was confirmed, whatever lives by now.
    run_with_client(where, [&](client service) { return delete_database(service, name); });
}

}  // namespace

void confirm(const arguments& words, const std::string& question) {
    if (words.has("--yes") || !is_terminal(STDIN_FILENO)) return;
    const interrupts watched;
    const std::string asked = printable(question) + " [y/N] ";
    if (is_terminal(STDERR_FILENO)) {
        write_all(STDERR_FILENO, asked);
    } else {
        // Who answers must see what he is asked, wherever messages go.
        const int terminal = ::open("/dev/tty", O_WRONLY | O_CLOEXEC | O_NOCTTY);
        if (terminal < 0) throw error(errc::bad_input, "nobody can be asked: give -y/--yes");
        write_all(terminal, asked);
        ::close(terminal);
    }
    std::string answer;
    char c = 0;
    ssize_t got = 0;
    try {
        while ((got = read_some(STDIN_FILENO, &c, 1)) == 1 && c != '\n')
            answer += c;
    } catch (const interruption&) {
        tell("");
        throw interruption("interrupted: nothing was changed");
    }
    if (answer == "y" || answer == "Y" || answer == "yes") return;
    if (got != 1) tell("");
    throw error(errc::cancelled, "not confirmed: nothing was changed");
}

std::vector<command> database_commands() {
    const option named_database{"-d", "--database", "NAME", "The database, \"user/name\".", true};
    return {{"db list", "", "List the databases of the key's owner.", {}, {}, &run_db_list},
            {"db create",
             "",
             "Make a database.",
             {{"-n", "--name", "NAME", "Its name, without the user.", true},
              visibility_option,
              limit_option},
             {},
             &run_db_create},
            {"db info", "db get", "Tell about a database.", {database_option}, {}, &run_db_info},
            {"db update",
             "",
             "Change a database; what is not given stays as it is.",
             {database_option,
              {"-n", "--name", "NAME", "Its new name, without the user."},
              visibility_option,
              limit_option},
             {},
             &run_db_update},
            {"db delete",
             "",
             "Delete a database and all it holds; asks on a terminal.",
             {named_database, yes_option},
             {},
             &run_db_delete}};
}

}  // namespace bitdotio::cli
