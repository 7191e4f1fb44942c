// The terminal: whether there is one, how large it is, and what may be written to it.
#pragma once

#include "cli/arguments.hpp"

#include <sys/types.h>
#include <cstddef>
#include <string>
#include <string_view>

namespace bitdotio::cli {

bool is_terminal(int descriptor) noexcept;

struct screen_size {
    std::size_t columns = 80;
    std::size_t rows = 24;
};
/// The size at this moment, so that a terminal that is resized is seen; COLUMNS and LINES where
/// there is no terminal to ask.
screen_size size_of_screen(int descriptor) noexcept;
/// The width that is drawn for; 0, for no bound, where there is no terminal.
std::size_t columns_of_screen(int descriptor) noexcept;

/// Whether colours may be used on a terminal: not with --no-color, NO_COLOR, or a dumb terminal.
bool may_use_color(const arguments& words, int descriptor);

/// The text as a terminal may show it: control characters, which could move its cursor or rename
/// its window, as \n, \t or \x1b; what is not UTF-8 as U+FFFD.
std::string printable(std::string_view text);

/// How many columns a text takes that is printable: two for wide characters, none for combining
/// ones.
std::size_t width_of(std::string_view text);

/// Writes all of it to a descriptor.
///
/// Errors: reader_gone; `interruption` after a Ctrl-C, see `interrupts`; errc::system_failed for
///     other causes.
void write_all(int descriptor, std::string_view text, bool to_pager = false);
/// Writes to standard output.
void print(std::string_view text);
/// Writes values to standard output as they are; on a terminal without control characters, which
/// could move its cursor or rename its window: as \x1b or \u009b. Lines and tabs stay.
///
/// Parameters: pieces may end within a character.
/// Errors: as write_all.
void print_data(std::string_view text);
/// Writes a line to standard error, for people; never fails.
void tell(std::string_view line) noexcept;

/// Standard output, by way of a pager once it is longer than the screen.
class paged_output {
public:
    /// Parameters: `paged` lets the pager begin, if standard output is a terminal. It is
    ///     BITIO_PAGER, else PAGER, else less where that is installed; "cat" and "" are none.
    explicit paged_output(bool paged);
    /// Waits for the pager.
    ~paged_output();
    paged_output(const paged_output&) = delete;
    paged_output& operator=(const paged_output&) = delete;

    /// Errors: as write_all; errc::system_failed if the pager cannot be run.
    void write(std::string_view text);
    /// The same of values, as print_data.
    void write_data(std::string_view text);
    /// Writes what waits, and waits until the user leaves the pager. What is written afterwards is
    /// a text of its own.
    ///
    /// Errors: as write.
    void finish();

private:
    void start_pager();
    int end_pager() noexcept;
    void await_pager();

    std::string pager_;    // empty for none
    std::string waiting_;  // for whether it gets longer than the screen
    std::size_t lines_ = 0;
    int pipe_ = -1;
    pid_t child_ = -1;
};

}  // namespace bitdotio::cli
