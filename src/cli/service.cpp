// Finds the service, and runs work until its end or Ctrl-C.
#include "cli/service.hpp"

#include "base/spawn.hpp"
#include "cli/exit_codes.hpp"
#include "cli/interrupts.hpp"
#include "cli/terminal.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <memory>
#include <utility>

namespace bitdotio::cli {

const option database_option{"-d", "--database", "NAME",
                             "The database, \"user/name\"; by default BITIO_DATABASE, or what "
                             "\"bit profile use\" chose."};

namespace {

// The library's words name its own options; people who call the command are told what they can do.
error in_words_of_bit(const error& failure, const profile_place& chosen) {
    const std::string_view said = failure.what();
    const std::filesystem::path& file = chosen.file;
    std::error_code unknown;
    if (chosen.name != default_profile_name && !std::filesystem::exists(file, unknown)) {
        return error(errc::bad_input,
                     "there is no profile \"" + chosen.name + "\" (" + file.string() +
                         "): \"bit serve\" writes it when it starts and removes it when it "
                         "stops; \"bit profile list\" shows those there are, and \"bit profile "
                         "use NAME\" chooses one");
    }
    const std::string serve = "; \"bit serve\" writes all of it to a profile" +
                              (file.empty() ? "" : ", looked for at " + file.string());
    if (said.find("no API key") != std::string_view::npos) {
        const bool elsewhere = std::getenv("BITIO_API_URL") || std::getenv("BITIO_PG_HOST") ||
                               std::getenv("BITIO_PG_PORT");
        return error(errc::bad_input,
                     "no API key: set BITIO_KEY, or give --key-file FILE" + serve +
                         (elsewhere ? ", whose key is for its own addresses alone, not those that "
                                      "BITIO_API_URL, BITIO_PG_HOST or BITIO_PG_PORT set"
                                    : ""));
    }
    if (said.find("client_options::api_url") != std::string_view::npos) {
        return error(errc::bad_input, "no address of the API: set BITIO_API_URL" + serve);
    }
    return failure;
}

std::string trimmed_end(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) {
        text.pop_back();
    }
    return text;
}

work with_client(std::shared_ptr<client> service, std::function<work(client)> start) {
    co_await start(*service);
    co_await service->close();
}

}  // namespace

std::string read_secret_file(const std::filesystem::path& file) {
    namespace fs = std::filesystem;
    std::error_code missing;
    const fs::perms mode = fs::status(file, missing).permissions();
    errno = 0;
    std::ifstream in(file);
    const bool directory = fs::is_directory(file, missing);
    if (!in || directory) {
        throw error(errc::bad_input, "cannot read the file " + file.string() + ": " +
                                         std::strerror(directory ? EISDIR : errno));
    }
    if ((mode & (fs::perms::group_all | fs::perms::others_all)) != fs::perms::none) {
        throw error(errc::bad_input, "the file " + file.string() +
                                         " may be read by others than its owner: chmod 600");
    }
    return std::string(std::istreambuf_iterator<char>(in), {});
}

api_key key_in_file(const std::filesystem::path& file) {
    return api_key(trimmed_end(read_secret_file(file)));
}

service_place find_service(const arguments& words) {
    service_place found;
    const auto key = words.get(key_option);
    const auto file = words.get("--key-file");
    const bool by_word = key && !words.is_from_environment(key_option);
    if (by_word && file && !words.is_from_environment("--key-file")) {
        throw error(errc::bad_input, "give either -k/--key or --key-file, not both");
    }
    if (file && !by_word) {
        found.options.key = key_in_file(*file);
        found.key_from = "the file " + *file;
    } else if (key) {
        found.options.key.emplace(*key);
        found.key_from = by_word ? "the command line" : "BITIO_KEY";
    }
    if (by_word) {
        tell(
            "bit: a key on the command line stays in the history of your shell; BITIO_KEY, "
            "--key-file or a profile keep it out");
    }
    found.profile = chosen_profile(words);
    found.options.profile_file = found.profile.file.string();
    found.options.user_agent = "bit/" BITDOTIO_VERSION;
    if (found.key_from.empty()) found.key_from = "the profile " + found.profile.file.string();
    try {
        found.options = found.options.resolved();
    } catch (const error& failure) {
        throw in_words_of_bit(failure, found.profile);
    }
    found.is_of_profile = is_in_profile(found.profile, found.options.api_url);
    tell_more(words, "API " + found.options.api_url + ", key from " + found.key_from);
    return found;
}

std::string database_of_environment() {
    const char* const named = std::getenv("BITIO_DATABASE");
    return named ? named : "";
}

database_name database_of(const arguments& words, const std::string& word) {
    if (!word.empty()) return database_name(word);
    if (const auto named = words.get("--database")) return database_name(*named);
    if (const std::string named = database_of_environment(); !named.empty()) {
        return database_name(named);
    }
    const std::string chosen = default_database(chosen_profile(words, false));
    if (!chosen.empty()) return database_name(chosen);
    throw error(errc::bad_input, "\"bit " + words.command() +
                                     "\" needs the option -d/--database NAME; BITIO_DATABASE, or "
                                     "\"bit profile use USER/DB\", names one for all commands");
}

void require_postgres(const service_place& where) {
    if (!where.options.postgres_host.empty() && where.options.postgres_port != 0) return;
    throw error(errc::bad_input,
                "the Postgres endpoint is unknown: set BITIO_PG_HOST and BITIO_PG_PORT");
}

void run_work(const std::function<work(asio::any_io_executor)>& start,
              const std::function<std::string()>& afterwards) {
    const interrupts watched;
    asio::io_context io(1);
    asio::posix::stream_descriptor asked(io, ::dup(interrupts::descriptor()));
    const auto cancel = std::make_shared<asio::cancellation_signal>();
    std::exception_ptr failure;
    asked.async_wait(asio::posix::stream_descriptor::wait_read,
                     [&](const boost::system::error_code& aborted) {
                         if (!aborted) cancel->emit(asio::cancellation_type::terminal);
                     });
    const auto ended = [&](std::exception_ptr thrown) noexcept {
        failure = std::move(thrown);
        boost::system::error_code ignored;
        asked.cancel(ignored);
    };
    spawn_alone(io.get_executor(), start(io.get_executor()), ended, cancel);
    io.run();
    if (!failure) return;
    try {
        std::rethrow_exception(failure);
    } catch (const reader_gone&) {
        throw;
    } catch (const std::exception&) {
        if (!interrupts::pending()) throw;
    }
    const std::string more = afterwards ? afterwards() : "";
    throw interruption(more.empty() ? "interrupted" : "interrupted; " + more);
}

void run_at(const service_place& where, const std::function<work(asio::any_io_executor)>& start,
            const std::function<std::string()>& afterwards) {
    try {
        run_work(start, afterwards);
    } catch (const error& failure) {
        if (failure.code() != errc::connect_failed || !where.is_of_profile) throw;
        throw failure.with_message(failure.what() + advice_about(where.profile));
    }
}

void run_with_client(const arguments& words, const std::function<work(client)>& start,
                     const std::function<std::string()>& afterwards) {
    run_with_client(find_service(words), start, afterwards);
}

void run_with_client(const service_place& where, const std::function<work(client)>& start,
                     const std::function<std::string()>& afterwards) {
    run_at(
        where,
        [&](asio::any_io_executor executor) {
            const auto service = std::make_shared<client>(std::move(executor), where.options);
            return with_client(service, start);
        },
        afterwards);
}

void tell_more(const arguments& words, const std::string& line) {
    if (words.has("--verbose")) tell("bit: " + line);
}

}  // namespace bitdotio::cli
