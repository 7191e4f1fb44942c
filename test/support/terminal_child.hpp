// A program on a terminal of its own, as people have it in front of them.
#pragma once

#include "support/child.hpp"

#include <sys/types.h>
#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace test {

/// A program whose input, output and errors are one pseudo-terminal, which controls it: what is
/// typed comes back as its echo, and Ctrl-C is a signal. Its functions fail with
/// std::runtime_error instead of hanging.
class terminal_child {
public:
    /// Parameters: as child's; the size of the terminal.
    terminal_child(std::vector<std::string> words, std::map<std::string, std::string> environment,
                   unsigned short columns = 80, unsigned short rows = 24);
    /// Kills it if it still runs.
    ~terminal_child();
    terminal_child(const terminal_child&) = delete;
    terminal_child& operator=(const terminal_child&) = delete;

    void type(const std::string& text) const;
    void resize(unsigned short columns, unsigned short rows) const;
    /// Returns all its output so far once `part` is in what came after `from` bytes.
    std::string read_until(const std::string& part, std::size_t from = 0,
                           std::chrono::milliseconds limit = std::chrono::seconds(60));
    /// All that has come by now.
    const std::string& shown();
    /// Waits for its end; `out` has all that was shown, its line ends as "\n".
    ending wait(std::chrono::milliseconds limit = std::chrono::seconds(60));

private:
    // False at the end of the output, or when the time is up.
    bool read_some(std::chrono::milliseconds patience);

    pid_t id_ = -1;
    int terminal_ = -1;
    bool running_ = false;
    std::string shown_;
};

}  // namespace test
