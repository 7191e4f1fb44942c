// Finds PostgreSQL's programs, makes the template, clones it.
#include "server/instances/programs.hpp"

#include "base/blocking.hpp"
#include "server/hosts/session_role.hpp"
#include "server/instances/instance.hpp"
#include "server/instances/instance_roles.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

namespace bitdotio {

namespace {

namespace fs = std::filesystem;

constexpr std::chrono::seconds program_patience{120};

std::optional<postgres_programs> programs_in(const fs::path& directory) {
    postgres_programs found;
    found.initdb = directory / "initdb";
    found.postgres = directory / "postgres";
    found.resetwal = directory / "pg_resetwal";
    for (const fs::path& program : {found.initdb, found.postgres, found.resetwal}) {
        if (::access(program.c_str(), X_OK) != 0) {
            return std::nullopt;
        }
    }
    return found;
}

// Adds the directories "<parent>/<prefix><number><suffix>" by number, the newest first.
void add_numbered(std::multimap<double, fs::path, std::greater<>>& found, const fs::path& parent,
                  const std::string& prefix, const char* suffix) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(parent, ignored)) {
        const std::string name = entry.path().filename();
        if (name.starts_with(prefix)) {
            const double version = std::strtod(name.c_str() + prefix.size(), nullptr);
            if (version > 0) {
                found.emplace(version, entry.path() / suffix);
            }
        }
    }
}

void write_file(const fs::path& path, const std::string& text, const system_user& owner) {
    const int file =
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    const bool written =
        file >= 0 && ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
        (!owner.change || ::fchown(file, owner.uid, owner.gid) == 0);
    const int cause = errno;
    if (file >= 0) {
        ::close(file);
    }
    if (!written) {
        throw error(errc::system_failed,
                    "cannot write " + path.string() + ": " + std::strerror(cause));
    }
}

// In single-user mode, each command is one line.
std::string lines(const std::vector<std::string>& commands) {
    std::string text;
    for (const std::string& each : commands) {
        text += each + "\n";
    }
    return text;
}

// Moves a finished directory to its final name.
void publish(const fs::path& from, const fs::path& to, bool durable) {
    const auto sync = [](const fs::path& path, auto how) {
        const int directory = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const bool done = directory >= 0 && how(directory) == 0;
        const int cause = errno;
        if (directory >= 0) {
            ::close(directory);
        }
        if (!done) {
            throw error(errc::system_failed,
                        "cannot sync " + path.string() + ": " + std::strerror(cause));
        }
    };
    if (durable) {
        sync(from, ::syncfs);  // a thousand files: one call for all is quicker
    }
    std::error_code cause;
    fs::rename(from, to, cause);
    if (cause) {
        throw error(errc::system_failed, "cannot rename " + from.string() + ": " + cause.message());
    }
    if (durable) {
        sync(to.parent_path(), ::fsync);
    }
}

}  // namespace

void write_login_rules(const fs::path& directory, const system_user& owner) {
    // The system tells PostgreSQL which user is at the other end of the socket.
    const passwd* self = ::getpwuid(::geteuid());
    if (!self) {
        throw error(errc::system_failed, "the user with the id " + std::to_string(::geteuid()) +
                                             " has no name: PostgreSQL needs one");
    }
    const std::string superuser = instance_roles::superuser;
    const std::string database = instance::database;
    write_file(directory / login_names_file,
               "server \"" + std::string(self->pw_name) + "\" " + superuser + "\n", owner);
    // No group has a superuser among its members, and nobody can make roles.
    write_file(directory / login_rules_file,
               "local " + database + " " + superuser + " peer map=server\nlocal " + database +
                   " +owner,+writer,+reader,+limited trust\n",
               owner);
}

postgres_programs find_postgres_programs(const fs::path& directory, const std::string& version) {
    if (!directory.empty()) {
        if (const auto found = programs_in(fs::absolute(directory))) {
            return *found;
        }
        throw error(errc::bad_input, "no PostgreSQL in " + directory.string() +
                                         ": a directory with initdb, postgres and pg_resetwal is "
                                         "wanted, such as /usr/lib/postgresql/15/bin");
    }
    std::multimap<double, fs::path, std::greater<>> known;
    add_numbered(known, "/usr/lib/postgresql", "", "bin");  // Debian
    add_numbered(known, "/usr", "pgsql-", "bin");           // the PostgreSQL project's RPMs
    std::vector<fs::path> candidates;
    for (const auto& [number, path] : known) {
        if (version.empty() || number == std::strtod(version.c_str(), nullptr)) {
            candidates.push_back(path);
        }
    }
    if (candidates.empty()) {
        const char* path = std::getenv("PATH");
        std::istringstream entries(path ? path : "");
        for (std::string entry; std::getline(entries, entry, ':');) {
            if (entry.starts_with('/')) {
                candidates.push_back(entry);
            }
        }
        candidates.push_back("/usr/local/pgsql/bin");
    }
    for (const fs::path& candidate : candidates) {
        if (const auto found = programs_in(candidate)) {
            return *found;
        }
    }
    const std::string package = "postgresql" + (version.empty() ? "" : "-" + version);
    throw error(errc::system_failed, "PostgreSQL" + (version.empty() ? "" : " " + version) +
                                         " is not installed: install the package " + package +
                                         " (apt-get install " + package +
                                         "), or name the directory of its programs "
                                         "(--postgres-programs)");
}

std::string version_of(const fs::path& data_directory) {
    std::ifstream file(data_directory / "PG_VERSION");
    std::string version;
    file >> version;
    return version;
}

asio::awaitable<void> make_template(postgres_programs programs, system_user run_as,
                                    fs::path directory) {
    const fs::path parent = directory.parent_path();
    const fs::path unfinished = directory.string() + ".new";
    const fs::path sql = parent / "setup.sql";
    command step;
    step.directory = parent;
    step.output = parent / "setup.log";
    step.run_as = run_as;

    std::function<void()> clear = [=] {
        fs::remove_all(unfinished);
        fs::remove(step.output);
    };
    co_await run_blocking(std::move(clear));

    // One-megabyte segments: sixteen megabytes would be copied, and kept, for every database.
    step.arguments = {programs.initdb,
                      "--pgdata=" + unfinished.string(),
                      "--username=" + std::string(instance_roles::superuser),
                      "--auth=trust",
                      "--encoding=UTF8",
                      "--locale=C.UTF-8",
                      "--wal-segsize=1",
                      "--no-sync"};
    co_await run_program(step, program_patience);

    // Nobody may log in by the rules in the directory itself; see write_login_rules.
    const std::string role = session_roles::owner;
    const std::string database = instance::database;
    const auto run_lines = [&](const std::string& name, std::vector<std::string> commands) {
        std::function<void()> write = [=] { write_file(sql, lines(commands), run_as); };
        step.input = sql;
        step.arguments = {programs.postgres,  "--single", "-D",        unfinished, "-c",
                          "exit_on_error=on", "-c",       "fsync=off", name};
        return write;
    };
    std::function<void()> rules = [=] {
        write_file(unfinished / login_rules_file, "local all all reject\n", run_as);
    };
    co_await run_blocking(std::move(rules));
    std::function<void()> write = run_lines(
        "template1", {
                         "ALTER DATABASE postgres RENAME TO " + database,
                         "UPDATE pg_database SET datistemplate = false WHERE datname = 'template0'",
                         "DROP DATABASE template0",
                     });
    co_await run_blocking(std::move(write));
    co_await run_program(step, program_patience);

    // Large objects also take space, and everybody could make them.
    const std::string makers =
        "FUNCTION pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid), "
        "pg_catalog.lo_from_bytea(oid, bytea)";
    std::vector<std::string> commands = instance_roles::layout();
    for (const std::string& each : {
             "ALTER DATABASE " + database + " OWNER TO " + role,
             "REVOKE TEMPORARY ON DATABASE " + database + " FROM PUBLIC",
             "GRANT TEMPORARY ON DATABASE " + database + " TO writer",
             "ALTER SCHEMA public OWNER TO " + role,
             std::string("REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
             "REVOKE EXECUTE ON " + makers + " FROM PUBLIC",
             "GRANT EXECUTE ON " + makers + " TO " + role + ", writer",
         }) {
        commands.push_back(each);
    }
    write = run_lines(database, commands);
    co_await run_blocking(std::move(write));
    co_await run_program(step, program_patience);

    // It was shut down cleanly, so nothing in its WAL is needed: one empty segment is enough.
    step.input = "/dev/null";
    step.arguments = {programs.resetwal, "-D", unfinished};
    co_await run_program(step, program_patience);

    std::function<void()> finish = [=] {
        fs::remove(sql);
        publish(unfinished, directory, true);
    };
    co_await run_blocking(std::move(finish));
}

asio::awaitable<void> clone_template(system_user run_as, fs::path from, fs::path directory,
                                     bool durable) {
    const fs::path unfinished = directory.string() + ".new";
    command copy;
    copy.directory = from.parent_path();
    copy.output = from.parent_path() / "setup.log";
    copy.run_as = run_as;
    copy.arguments = {"/bin/cp", "--archive", "--reflink=auto", from, unfinished};
    co_await run_program(copy, program_patience);
    std::function<void()> finish = [=] { publish(unfinished, directory, durable); };
    co_await run_blocking(std::move(finish));
}

}  // namespace bitdotio
