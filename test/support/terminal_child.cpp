// Spawns into a session of its own, where the first terminal that is opened becomes the controlling
// one.
#include "support/terminal_child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <utility>

extern char** environ;

namespace test {

namespace {

std::vector<char*> list_of(std::vector<std::string>& texts) {
    std::vector<char*> list;
    for (std::string& text : texts)
        list.push_back(text.data());
    list.push_back(nullptr);
    return list;
}

}  // namespace

terminal_child::terminal_child(std::vector<std::string> words,
                               std::map<std::string, std::string> environment,
                               unsigned short columns, unsigned short rows)
    : terminal_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    std::array<char, 128> name{};
    if (terminal_ < 0 || ::grantpt(terminal_) != 0 || ::unlockpt(terminal_) != 0 ||
        ::ptsname_r(terminal_, name.data(), name.size()) != 0) {
        throw std::runtime_error("no pseudo-terminal");
    }
    resize(columns, rows);
    environment.emplace("TERM", "xterm");
    std::vector<std::string> variables;
    for (char** variable = environ; *variable; ++variable) {
        const std::string text = *variable;
        const std::string key = text.substr(0, text.find('='));
        if (!text.starts_with("BITIO_") && key != "NO_COLOR" && key != "PAGER" &&
            !environment.contains(key)) {
            variables.push_back(text);
        }
    }
    for (const auto& [key, value] : environment)
        variables.push_back(key + "=" + value);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, name.data(), O_RDWR, 0);
    ::posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDERR_FILENO);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    const int failure = ::posix_spawnp(&id_, words.at(0).c_str(), &actions, &attributes,
                                       list_of(words).data(), list_of(variables).data());
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    if (failure != 0) throw std::runtime_error("cannot start " + words[0]);
    running_ = true;
}

terminal_child::~terminal_child() {
    if (running_) {
        ::kill(id_, SIGKILL);
        ::waitpid(id_, nullptr, 0);
    }
    if (terminal_ >= 0) ::close(terminal_);
}

void terminal_child::type(const std::string& text) const {
    if (::write(terminal_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        throw std::runtime_error("cannot type into the terminal");
    }
}

void terminal_child::resize(unsigned short columns, unsigned short rows) const {
    winsize size{};
    size.ws_col = columns;
    size.ws_row = rows;
    if (::ioctl(terminal_, TIOCSWINSZ, &size) != 0) throw std::runtime_error("cannot resize");
}

bool terminal_child::read_some(std::chrono::milliseconds patience) {
    pollfd waiting{terminal_, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(patience.count())) != 1) return false;
    std::array<char, 65'536> piece{};
    const ssize_t got = ::read(terminal_, piece.data(), piece.size());
    if (got <= 0) return false;  // an error once nobody has the other side open
    shown_.append(piece.data(), static_cast<std::size_t>(got));
    return true;
}

std::string terminal_child::read_until(const std::string& part, std::size_t from,
                                       std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (shown_.find(part, std::min(from, shown_.size())) == std::string::npos) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0 || !read_some(left)) {
            throw std::runtime_error("\"" + part + "\" was not shown, but: " + shown_);
        }
    }
    return shown_;
}

const std::string& terminal_child::shown() {
    while (read_some(std::chrono::milliseconds(0))) {
    }
    return shown_;
}

ending terminal_child::wait(std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        if (left.count() <= 0) throw std::runtime_error("the program does not end: " + shown_);
        if (!read_some(left)) break;
    }
    int status = 0;
    if (::waitpid(id_, &status, 0) != id_) throw std::runtime_error("the program is lost");
    running_ = false;
    ending ended;
    ended.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    for (const char c : std::exchange(shown_, {})) {
        if (c != '\r') ended.out += c;
    }
    return ended;
}

}  // namespace test
