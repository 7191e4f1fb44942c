// The bit command: words in, exit status out.
#include <bitdotio/error.hpp>

#include "base/ascii.hpp"
#include "cli/arguments.hpp"
#include "cli/exit_codes.hpp"
#include "cli/serve.hpp"
#include "cli/service.hpp"
#include "cli/table.hpp"
#include "cli/terminal.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace bitdotio;
using cli::exit_code;

// Everyone who lists processes sees their words, so secrets are removed from there at once.
void hide_key(int argc, char** argv) {
    const auto hide = [](char* text) { ::explicit_bzero(text, std::strlen(text)); };
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if ((word == "-k" || word == cli::key_option) && i + 1 < argc) {
            hide(argv[++i]);
        } else if (word.starts_with(std::string(cli::key_option) + "=")) {
            hide(argv[i] + std::strlen(cli::key_option) + 1);
        } else if (word == cli::backend_option && i + 1 < argc) {
            hide(argv[++i]);
        } else if (word.starts_with(std::string(cli::backend_option) + "=")) {
            hide(argv[i] + std::strlen(cli::backend_option) + 1);
        } else if (word.starts_with("-k")) {
            hide(argv[i] + 2);
        }
    }
}

// Where one of the three is closed, the next file or socket would take its number, and get what is
// printed. What is opened instead refuses, as a closed one does.
void keep_standard_numbers() noexcept {
    for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(standard, F_GETFD) != -1) continue;
        const int made =
            ::open("/dev/null", standard == STDIN_FILENO ? O_WRONLY : O_RDONLY);  // the lowest free
        if (made != standard) return;
    }
}

const char* variable(const char* name) {
    return std::getenv(name);
}

exit_code run(const std::vector<std::string>& words, bool& verbose) {
    const cli::program bit = cli::bit_program();
    const cli::arguments read = cli::arguments::parse(bit, words, &variable);
    verbose = read.has("--verbose");
    if (read.help()) {
        cli::print(cli::help_text(bit, read.command(), cli::columns_of_screen(STDOUT_FILENO)));
    } else if (read.has("--version")) {
        cli::print("bit " BITDOTIO_VERSION "\n");
    } else if (const cli::command* chosen = cli::find_command(bit, read.command())) {
        chosen->run(read);
    } else {
        cli::write_all(STDERR_FILENO,
                       cli::help_text(bit, "", cli::columns_of_screen(STDERR_FILENO)));
        return exit_code::wrong_usage;
    }
    return exit_code::done;
}

// A key that stands where it does not belong, such as for a database, is a key still. Names are
// shorter.
std::string without_keys(std::string text) {
    constexpr std::size_t shortest_key = 27;
    for (std::size_t begin = 0; (begin = text.find("v2_", begin)) != std::string::npos; ++begin) {
        std::size_t end = begin;
        while (end < text.size() && ascii::is_word(text[end]))
            ++end;
        if (end - begin >= shortest_key) text.replace(begin, end - begin, "v2_…");
    }
    return text;
}

// One line, whatever the server says.
void complain(const std::string& text) {
    std::string line = "bit: ";
    for (const char c : without_keys(text))
        line += c == '\n' ? ' ' : c;
    cli::tell(cli::is_terminal(STDERR_FILENO) ? cli::printable(line) : line);
}

void tell_of_failure(const error& failure, bool verbose) {
    std::string text = failure.what();
    // Where in a file the fault is.
    if (const std::string& context = failure.server().context; context.starts_with("COPY ")) {
        text += ", at " + context.substr(0, context.find('\n'));
    }
    if (const std::string& hint = failure.server().hint; !hint.empty()) text += " (" + hint + ")";
    complain(text);
    if (!verbose) return;
    std::string more = "after " + std::to_string(failure.attempts()) +
                       (failure.attempts() == 1 ? " attempt" : " attempts");
    if (failure.woke_database()) more += ", the database was asleep";
    if (!failure.sqlstate().empty()) more += ", SQLSTATE " + failure.sqlstate();
    if (failure.http_status() != 0) more += ", HTTP " + std::to_string(failure.http_status());
    complain(more);
}

exit_code run_to_end(const std::vector<std::string>& words) {
    bool verbose = false;
    try {
        return run(words, verbose);
    } catch (const cli::reader_gone& gone) {
        return gone.of_pager() ? exit_code::done : exit_code::reader_gone;
    } catch (const cli::interruption& why) {
        complain(why.what());
        return exit_code::interrupted;
    } catch (const error& failure) {
        tell_of_failure(failure, verbose);
        // A "bad input" from the server is a failed call.
        return failure.code() == errc::bad_input && failure.http_status() == 0
                   ? exit_code::wrong_usage
                   : exit_code::failed;
    } catch (const std::exception& failure) {
        complain(failure.what());
        return exit_code::failed;
    }
}

}  // namespace

int main(int argc, char** argv) {
    keep_standard_numbers();
    const std::vector<std::string> words(argv + (argc > 0), argv + argc);
    hide_key(argc, argv);
    std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is an error of the writing
    return static_cast<int>(run_to_end(words));
}
