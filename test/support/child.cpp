// Starts programs through posix_spawn, which is safe beside the threads of a test.
#include "support/child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

extern char** environ;

namespace test {

namespace fs = std::filesystem;

namespace {

struct two_ends {
    two_ends() {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
            throw std::runtime_error("no pipe");
        }
        read = ends[0];
        write = ends[1];
    }
    int read = -1;
    int write = -1;
};

void shut(int& descriptor) {
    if (descriptor >= 0) {
        ::close(std::exchange(descriptor, -1));
    }
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> list;
    for (std::string& text : texts) {
        list.push_back(text.data());
    }
    list.push_back(nullptr);
    return list;
}

}  // namespace

child::child(std::vector<std::string> words, std::map<std::string, std::string> environment) {
    std::vector<std::string> variables;
    for (char** variable = environ; *variable; ++variable) {
        const std::string text = *variable;
        if (!text.starts_with("BITIO_") && !environment.contains(text.substr(0, text.find('=')))) {
            variables.push_back(text);
        }
    }
    for (const auto& [name, value] : environment) {
        variables.push_back(name + "=" + value);
    }
    two_ends in, out, err;
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in.read, STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, out.write, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, err.write, STDERR_FILENO);
    const int failure = ::posix_spawnp(&id_, words.at(0).c_str(), &actions, nullptr,
                                       pointers(words).data(), pointers(variables).data());
    ::posix_spawn_file_actions_destroy(&actions);
    shut(in.read);
    shut(out.write);
    shut(err.write);
    in_ = in.write;
    out_ = out.read;
    err_ = err.read;
    if (failure != 0) {
        throw std::runtime_error("cannot run " + words[0] + ": " + std::strerror(failure));
    }
    running_ = true;
}

child::~child() {
    if (running_) {
        ::kill(id_, SIGKILL);
        ::waitpid(id_, nullptr, 0);
    }
    shut(in_);
    shut(out_);
    shut(err_);
}

void child::send(int signal) const {
    ::kill(id_, signal);
}

void child::give(const std::string& input) {
    const ssize_t written = ::write(in_, input.data(), input.size());
    shut(in_);
    if (written != static_cast<ssize_t>(input.size())) {
        throw std::runtime_error("the program does not read its input");
    }
}

// False once both of its outputs have ended.
bool child::read_some(std::chrono::steady_clock::time_point deadline) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    std::array<pollfd, 2> looks{pollfd{out_, POLLIN, 0}, pollfd{err_, POLLIN, 0}};
    if (out_ < 0 && err_ < 0) {
        return false;
    }
    if (left.count() <= 0 || ::poll(looks.data(), 2, static_cast<int>(left.count())) == 0) {
        throw std::runtime_error("the program did not go on in time; it said \"" + ending_.out +
                                 "\" and \"" + ending_.err + "\"");
    }
    const auto take = [](pollfd look, int& descriptor, std::string& text) {
        if (look.revents == 0) {
            return;
        }
        std::array<char, 4096> buffer{};
        const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
        if (count > 0) {
            text.append(buffer.data(), static_cast<std::size_t>(count));
        } else {
            shut(descriptor);
        }
    };
    take(looks[0], out_, ending_.out);
    take(looks[1], err_, ending_.err);
    return true;
}

std::string child::read_until(const std::string& start, std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (;;) {
        const std::string text = "\n" + ending_.out;
        const std::size_t found = text.find("\n" + start);
        if (found != std::string::npos && text.find('\n', found + 1) != std::string::npos) {
            return ending_.out;
        }
        if (!read_some(deadline)) {
            throw std::runtime_error("the program ended without the line \"" + start +
                                     "\"; it said \"" + ending_.out + "\" and \"" + ending_.err +
                                     "\"");
        }
    }
}

ending child::wait(std::chrono::milliseconds limit) {
    shut(in_);
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (read_some(deadline)) {
    }
    int status = 0;
    // Both outputs have ended: the program is exiting, and so is any process that inherited them.
    ::waitpid(id_, &status, 0);
    running_ = false;
    ending_.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return ending_;
}

ending run_program(std::vector<std::string> words, std::map<std::string, std::string> environment,
                   const std::string& input) {
    child program(std::move(words), std::move(environment));
    if (!input.empty()) {
        program.give(input);
    }
    return program.wait();
}

temporary_directory::temporary_directory() {
    std::string name = (fs::temp_directory_path() / "bitdotio-test-XXXXXX").string();
    if (!::mkdtemp(name.data())) {
        throw std::runtime_error("no temporary directory");
    }
    ::chmod(name.c_str(), 0711);
    path_ = name;
}

temporary_directory::~temporary_directory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

bool has_processes(const fs::path& directory) {
    const std::string wanted = directory.string();
    for (const auto& entry : fs::directory_iterator("/proc")) {
        const std::string name = entry.path().filename();
        if (name.find_first_not_of("0123456789") != std::string::npos ||
            name == std::to_string(::getpid())) {
            continue;
        }
        std::error_code gone;
        const std::string works_in = fs::read_symlink(entry.path() / "cwd", gone).string();
        std::ifstream file(entry.path() / "cmdline");
        std::ostringstream words;  // an iterator would throw at the end of a process
        words << file.rdbuf();
        if (works_in.starts_with(wanted) || words.str().find(wanted) != std::string::npos) {
            return true;
        }
    }
    return false;
}

}  // namespace test
