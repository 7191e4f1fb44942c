// fork, exec, read, wait.
#include "support/program.hpp"

#include <cstdlib>
#include <stdexcept>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace test {

program_result run_program(const std::vector<std::string>& arguments, const environment& added) {
    std::vector<std::string> words = arguments;
    words.insert(words.begin(), {"timeout", "--kill-after=1", "60"});
    std::vector<char*> argv;
    for (std::string& word : words) {
        argv.push_back(word.data());
    }
    argv.push_back(nullptr);

    int pipe_ends[2];
    if (::pipe2(pipe_ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    // Between fork and exec of a process with threads only little is allowed: no allocation.
    std::vector<std::string> variables;
    for (const auto& [name, value] : added) {
        variables.push_back(name + "=" + value);
    }
    std::vector<char*> environ_now;
    for (std::string& variable : variables) {
        environ_now.push_back(variable.data());
    }
    for (char** variable = environ; *variable; ++variable) {
        environ_now.push_back(*variable);
    }
    environ_now.push_back(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        const int nothing = ::open("/dev/null", O_RDONLY);
        ::dup2(nothing, 0);
        ::dup2(pipe_ends[1], 1);
        ::dup2(pipe_ends[1], 2);
        ::execvpe(argv[0], argv.data(), environ_now.data());
        ::_exit(127);
    }
    ::close(pipe_ends[1]);
    program_result result;
    char bytes[4096];
    ssize_t size = 0;
    while ((size = ::read(pipe_ends[0], bytes, sizeof bytes)) > 0) {
        result.output.append(bytes, static_cast<std::size_t>(size));
    }
    ::close(pipe_ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result;
}

}  // namespace test
