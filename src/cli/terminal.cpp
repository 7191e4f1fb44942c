// Asks the system about the terminal, measures texts, and runs the pager.
#include "cli/terminal.hpp"

#include "cli/exit_codes.hpp"
#include "cli/interrupts.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utf8proc.h>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace bitdotio::cli {

namespace {

std::size_t number_in(const char* variable) {
    const char* const text = std::getenv(variable);
    std::size_t number = 0;
    if (text) std::from_chars(text, text + std::strlen(text), number);
    return number;
}

// Calls `visit` with each character and its bytes; a negative one for what is not UTF-8.
template <class Visit>
void each_character(std::string_view text, Visit visit) {
    const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
    auto left = static_cast<utf8proc_ssize_t>(text.size());
    while (left > 0) {
        utf8proc_int32_t character = -1;
        utf8proc_ssize_t size = utf8proc_iterate(at, left, &character);
        if (size <= 0) {
            size = 1;
            character = -1;
        }
        visit(character,
              std::string_view(reinterpret_cast<const char*>(at), static_cast<std::size_t>(size)));
        at += size;
        left -= size;
    }
}

// Small systems have no less; what is written must be seen all the same.
constexpr const char* default_pager =
    "if command -v less >/dev/null; then exec less; else exec cat; fi";

// Takes control characters out of values on their way to a terminal, piece by piece. In UTF-8 those
// of one byte are below 0x20, and 0x7f; of two bytes 0xc2 and 0x80 to 0x9f.
class terminal_filter {
public:
    std::string operator()(std::string_view text) {
        constexpr std::string_view digits = "0123456789abcdef";
        std::string out;
        const auto code = [&](const char* begin, unsigned char c) {
            out += begin;
            out += digits[c / 16];
            out += digits[c % 16];
        };
        for (const char c : text) {
            const auto byte = static_cast<unsigned char>(c);
            if (std::exchange(lead_, false)) {
                if (byte >= 0x80 && byte < 0xa0) {
                    code("\\u00", byte);
                    continue;
                }
                out += '\xc2';
            }
            if (byte == 0xc2) {
                lead_ = true;
            } else if (byte == 0x7f) {
                code("\\u00", byte);
            } else if (byte < ' ' && c != '\n' && c != '\t') {
                code("\\x", byte);
            } else {
                out += c;
            }
        }
        return out;
    }

private:
    bool lead_ = false;  // the last piece ended within a character
};

// Standard output's, which all that is printed has in common.
terminal_filter& output_filter() {
    static terminal_filter one;
    return one;
}

bool is_plain_ascii(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7f; });
}

}  // namespace

bool is_terminal(int descriptor) noexcept {
    return ::isatty(descriptor) == 1;
}

screen_size size_of_screen(int descriptor) noexcept {
    screen_size size;
    winsize told{};
    if (::ioctl(descriptor, TIOCGWINSZ, &told) == 0 && told.ws_col > 0 && told.ws_row > 0) {
        size.columns = told.ws_col;
        size.rows = told.ws_row;
        return size;
    }
    if (const std::size_t columns = number_in("COLUMNS")) size.columns = columns;
    if (const std::size_t rows = number_in("LINES")) size.rows = rows;
    return size;
}

std::size_t columns_of_screen(int descriptor) noexcept {
    return is_terminal(descriptor) ? size_of_screen(descriptor).columns : 0;
}

bool may_use_color(const arguments& words, int descriptor) {
    const char* const no_color = std::getenv("NO_COLOR");
    const char* const terminal = std::getenv("TERM");
    return is_terminal(descriptor) && !words.has("--no-color") && !(no_color && *no_color) &&
           terminal && std::string_view(terminal) != "dumb";
}

std::string printable(std::string_view text) {
    if (is_plain_ascii(text)) return std::string(text);
    std::string out;
    each_character(text, [&](utf8proc_int32_t c, std::string_view bytes) {
        constexpr std::string_view digits = "0123456789abcdef";
        if (c < 0) {
            out += "\xef\xbf\xbd";
        } else if (c == '\n') {
            out += "\\n";
        } else if (c == '\t') {
            out += "\\t";
        } else if (c == '\r') {
            out += "\\r";
        } else if (c < ' ' || (c >= 0x7f && c < 0xa0)) {
            const auto code = static_cast<unsigned>(c);
            out += "\\x";
            out += digits[code / 16];
            out += digits[code % 16];
        } else if (utf8proc_category(c) == UTF8PROC_CATEGORY_CF && c != 0xad && c != 0x200c &&
                   c != 0x200d) {
            // Marks of direction, which could show a text in another order than it has; joiners
            // belong to words.
            out += "\xef\xbf\xbd";
        } else {
            out += bytes;
        }
    });
    return out;
}

std::size_t width_of(std::string_view text) {
    if (is_plain_ascii(text)) return text.size();
    std::size_t width = 0;
    each_character(text, [&](utf8proc_int32_t c, std::string_view) {
        width += c < 0 ? 1U : static_cast<std::size_t>(std::max(0, utf8proc_charwidth(c)));
    });
    return width;
}

void write_all(int descriptor, std::string_view text, bool to_pager) {
    while (!text.empty()) {
        // What is told about an interruption is told all the same.
        if (descriptor != STDERR_FILENO) await_writable(descriptor);
        const ssize_t written = ::write(descriptor, text.data(), text.size());
        if (written >= 0) {
            text.remove_prefix(static_cast<std::size_t>(written));
        } else if (errno == EPIPE) {
            throw reader_gone(to_pager);
        } else if (errno != EINTR) {
            throw error(errc::system_failed,
                        std::string("cannot write the answer: ") + std::strerror(errno));
        }
    }
}

void print(std::string_view text) {
    write_all(STDOUT_FILENO, text);
}

void print_data(std::string_view text) {
    if (is_terminal(STDOUT_FILENO)) {
        print(output_filter()(text));
    } else {
        print(text);
    }
}

void tell(std::string_view line) noexcept {
    try {
        write_all(STDERR_FILENO, std::string(line) + "\n");
    } catch (const std::exception&) {  // nobody is there to be told
    }
}

paged_output::paged_output(bool paged) {
    if (!paged || !is_terminal(STDOUT_FILENO)) return;
    pager_ = default_pager;
    for (const char* const variable : {"PAGER", "BITIO_PAGER"}) {
        if (const char* const named = std::getenv(variable)) pager_ = named;
    }
    if (pager_ == "cat") pager_.clear();
}

paged_output::~paged_output() {
    if (child_ > 0) end_pager();
}

void paged_output::write(std::string_view text) {
    if (pager_.empty()) {
        print(text);
        return;
    }
    if (child_ > 0) {
        try {
            write_all(pipe_, text, true);
        } catch (const reader_gone&) {
            await_pager();
            throw;
        }
        return;
    }
    waiting_ += text;
    lines_ += static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    if (lines_ + 1 < size_of_screen(STDOUT_FILENO).rows) return;
    start_pager();
    const std::string all = std::exchange(waiting_, {});
    write(all);
}

void paged_output::write_data(std::string_view text) {
    if (is_terminal(STDOUT_FILENO)) {
        write(output_filter()(text));
    } else {
        write(text);
    }
}

void paged_output::start_pager() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        pager_.clear();
        return;
    }
    child_ = ::fork();
    if (child_ == 0) {
        ::dup2(ends[0], STDIN_FILENO);
        std::signal(SIGPIPE, SIG_DFL);
        ::setenv("LESS", "FRSX", 0);
        ::execl("/bin/sh", "sh", "-c", pager_.c_str(), nullptr);
        ::_exit(127);
    }
    ::close(ends[0]);
    if (child_ < 0) {
        ::close(ends[1]);
        pager_.clear();
        return;
    }
    pipe_ = ends[1];
    interrupts::give_terminal(true);
}

void paged_output::finish() {
    if (!waiting_.empty()) print(std::exchange(waiting_, {}));
    lines_ = 0;
    if (child_ > 0) await_pager();
}

int paged_output::end_pager() noexcept {
    ::close(pipe_);
    int status = 0;
    while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
    }
    child_ = -1;
    interrupts::give_terminal(false);
    return status;
}

void paged_output::await_pager() {
    const int status = end_pager();
    // What the shell answers for a command that is not there, or not to be run.
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 127 || WEXITSTATUS(status) == 126)) {
        throw error(errc::system_failed, "cannot run the pager \"" + pager_ +
                                             "\": set BITIO_PAGER or PAGER to another, or give "
                                             "--no-pager");
    }
}

}  // namespace bitdotio::cli
