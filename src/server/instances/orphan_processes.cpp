// Finds and ends orphan processes, left by a killed server or postmaster.
#include "server/instances/orphan_processes.hpp"

#include "base/ascii.hpp"

#include <bitdotio/error.hpp>

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace bitdotio {

namespace {

// The command line as the kernel shows it: arguments, each ended by a zero. If the process ends
// meanwhile, there is nothing to read; an iterator over the file would throw.
std::string command_line(int pid) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/cmdline", std::ios::binary);
    std::ostringstream line;
    line << in.rdbuf();
    return line.str();
}

// A postmaster keeps its arguments; its children call themselves "postgres: <cluster_name>: …".
bool is_postmaster(const std::string& line) {
    return line.substr(0, line.find('\0')).ends_with("/postgres");
}

// Returns when all have ended or the time is up.
void wait_for_end(const std::vector<int>& pids, std::chrono::steady_clock::time_point deadline) {
    for (const int pid : pids) {
        const auto handle = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
        if (handle < 0) {
            continue;  // gone
        }
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - std::chrono::steady_clock::now());
        pollfd ended{handle, POLLIN, 0};
        ::poll(&ended, 1, static_cast<int>(std::max<long long>(left.count(), 0)));
        ::close(handle);
    }
}

}  // namespace

std::vector<int> postgres_processes(const std::string& mark) {
    std::vector<int> found;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
        const std::string name = entry.path().filename();
        if (!std::all_of(name.begin(), name.end(), ascii::is_digit)) {
            continue;
        }
        const int pid = std::stoi(name);
        const std::string line = command_line(pid);
        if (line.find(mark) != std::string::npos &&
            (line.starts_with("postgres: ") || is_postmaster(line))) {
            found.push_back(pid);
        }
    }
    return found;
}

void ask_postgres_to_stop(const std::string& mark) noexcept {
    try {
        for (const int pid : postgres_processes(mark)) {
            if (is_postmaster(command_line(pid))) {
                ::kill(pid, SIGINT);
            }
        }
    } catch (const std::exception&) {
        // No memory for the list: the processes still stop when ours ends.
    }
}

void end_postgres_processes(const std::string& mark, std::chrono::milliseconds gently) {
    const auto now = std::chrono::steady_clock::now();
    if (gently.count() > 0) {
        ask_postgres_to_stop(mark);
        wait_for_end(postgres_processes(mark), now + gently);
    }
    const auto deadline = now + gently + std::chrono::seconds(10);
    for (;;) {
        const std::vector<int> left = postgres_processes(mark);
        if (left.empty()) {
            return;
        }
        if (std::chrono::steady_clock::now() >= deadline) {
            throw error(errc::system_failed, "the PostgreSQL process " +
                                                 std::to_string(left.front()) +
                                                 " of an earlier run does not end, even killed");
        }
        for (const int pid : left) {
            ::kill(pid, SIGKILL);
        }
        wait_for_end(left, deadline);
    }
}

}  // namespace bitdotio
