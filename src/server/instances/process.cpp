// Starts processes with fork and exec, and waits for them with pidfds.
#include "server/instances/process.hpp"

#include "base/blocking.hpp"
#include "base/deadline.hpp"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

namespace bitdotio {

namespace {

enum class step { fork, change_user, directory, input, output, exec };

struct failed_step {
    step where = step::fork;
    int cause = 0;
};

// What the child needs, made before the fork: nothing may allocate after it.
struct prepared {
    explicit prepared(const command& what) {
        for (const std::string& argument : what.arguments) {
            arguments.push_back(const_cast<char*>(argument.c_str()));
        }
        arguments.push_back(nullptr);
    }

    std::vector<char*> arguments;
    std::array<char*, 3> environment{
        const_cast<char*>("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        const_cast<char*>("LC_ALL=C.UTF-8"), nullptr};
    int report = -1;
    pid_t parent = ::getpid();
};

[[noreturn]] void give_up(int report, step where) {
    const failed_step failure{where, errno};
    [[maybe_unused]] const auto ignored = ::write(report, &failure, sizeof failure);
    ::_exit(127);
}

void become(int report, int target, const char* path, int flags, step where) {
    const int opened = ::open(path, flags, 0600);
    if (opened < 0 || (opened != target && ::dup2(opened, target) < 0)) {
        give_up(report, where);
    }
}

// Runs between fork and exec, in a copy of the process whose other threads vanished in the middle
// of their work: system calls only.
[[noreturn]] void be_the_child(const command& what, const prepared& ready) {
    const int report = ready.report;
    // Our handlers would still write into pipes shared with our parent.
    for (int number = 1; number < NSIG; ++number) {
        struct sigaction standard = {};
        standard.sa_handler = SIG_DFL;
        ::sigaction(number, &standard, nullptr);
    }
    ::setsid();
    if (what.run_as.change) {
        const gid_t group = what.run_as.gid;
        const uid_t user = what.run_as.uid;
        // glibc's wrappers of these notify all threads first; the bare calls do not.
        if (::syscall(SYS_setgroups, 1, &group) != 0 ||
            ::syscall(SYS_setresgid, group, group, group) != 0 ||
            ::syscall(SYS_setresuid, user, user, user) != 0) {
            give_up(report, step::change_user);
        }
    }
    if (what.death_signal != 0) {
        ::prctl(PR_SET_PDEATHSIG, what.death_signal);  // after setresuid, which clears it
        if (::getppid() != ready.parent) {
            ::_exit(127);
        }
    }
    ::umask(077);
    if (::chdir(what.directory.c_str()) != 0) {
        give_up(report, step::directory);
    }
    become(report, 0, what.input.c_str(), O_RDONLY, step::input);
    if (what.output_handle < 0) {
        become(report, 1, what.output.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW,
               step::output);
    } else if (::dup2(what.output_handle, 1) < 0) {
        give_up(report, step::output);
    }
    ::dup2(1, 2);
    // Asio's sockets are not close-on-exec: a child that keeps one keeps its client waiting.
    if (report != 3) {
        ::dup3(report, 3, O_CLOEXEC);
    }
    ::syscall(SYS_close_range, 4U, ~0U, 0U);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execve(ready.arguments[0], ready.arguments.data(), ready.environment.data());
    give_up(3, step::exec);
}

error start_failure(const command& what, const failed_step& failure) {
    const auto describe = [&]() -> std::string {
        switch (failure.where) {
            case step::fork: break;
            case step::change_user: return "cannot become the user " + what.run_as.name;
            case step::directory:
                return "the user " + what.run_as.name + " cannot enter " + what.directory.string();
            case step::input: return "cannot read " + what.input.string();
            case step::output: return "cannot write " + what.output.string();
            case step::exec: return "cannot run it";
        }
        return "cannot make a process";
    };
    return error(errc::system_failed, "cannot start " + what.arguments.front() + ": " + describe() +
                                          ": " + std::strerror(failure.cause));
}

struct launched {
    int pid = 0;
    int handle = -1;
};

launched launch(const command& what) {
    int pipe[2];
    if (::pipe2(pipe, O_CLOEXEC) != 0) {
        throw start_failure(what, {step::fork, errno});
    }
    prepared ready(what);
    ready.report = ::fcntl(pipe[1], F_DUPFD_CLOEXEC, 3);  // above the standard ones
    ::close(pipe[1]);
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = ::fork();
    if (pid == 0) {
        be_the_child(what, ready);
    }
    const int cause = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::close(ready.report);
    failed_step failure;
    const ssize_t said = pid < 0 ? 0 : ::read(pipe[0], &failure, sizeof failure);
    ::close(pipe[0]);
    if (pid < 0) {
        throw start_failure(what, {step::fork, cause});
    }
    if (said != 0) {
        ::waitpid(pid, nullptr, 0);
        throw start_failure(what, failure);
    }
    // Its number stays its own until we wait for it.
    const auto handle = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (handle < 0) {
        const int refused = errno;
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
        throw start_failure(what, {step::fork, refused});
    }
    return {pid, handle};
}

}  // namespace

system_user unprivileged_user(const std::string& name) {
    system_user result;
    const auto look_up = [&](const auto& find) {
        passwd entry;
        passwd* found = nullptr;
        std::array<char, 16'384> room;
        find(&entry, room.data(), room.size(), &found);
        if (found) {
            result.name = entry.pw_name;
            result.uid = entry.pw_uid;
            result.gid = entry.pw_gid;
        }
        return found != nullptr;
    };
    const auto by_name = [&](const char* wanted) {
        return look_up([&](auto... place) { return ::getpwnam_r(wanted, place...); });
    };
    if (::geteuid() == 0) {
        if (name.empty() ? !by_name("postgres") && !by_name("nobody") : !by_name(name.c_str())) {
            throw error(errc::bad_input,
                        name.empty() ? "PostgreSQL does not run as root, and there is neither a "
                                       "user \"postgres\" nor \"nobody\": name one to run it as"
                                     : "there is no user \"" + name + "\" to run PostgreSQL as");
        }
        if (result.uid == 0) {
            throw error(errc::bad_input,
                        "PostgreSQL does not run as root: name another user than "
                        "\"" +
                            name + "\" to run it as");
        }
        result.change = true;
        return result;
    }
    if (!look_up([&](auto... place) { return ::getpwuid_r(::geteuid(), place...); })) {
        result.name = std::to_string(::geteuid());
        result.uid = ::geteuid();
        result.gid = ::getegid();
    }
    if (!name.empty() && name != result.name) {
        throw error(errc::bad_input, "only root can run PostgreSQL as another user: leave \"" +
                                         name + "\" out, or be root");
    }
    return result;
}

child::child(int pid, asio::posix::stream_descriptor handle)
    : pid_(pid), handle_(std::move(handle)) {}

asio::awaitable<child> child::start(command what) {
    const auto result = std::make_shared<launched>();
    std::function<void()> work = [result, what = std::move(what)] { *result = launch(what); };
    co_await run_blocking(std::move(work));
    const auto executor = co_await asio::this_coro::executor;
    co_return child(result->pid, asio::posix::stream_descriptor(executor, result->handle));
}

void child::signal(int number) noexcept {
    if (!reaped_) {
        ::syscall(SYS_pidfd_send_signal, handle_.native_handle(), number, nullptr, 0U);
    }
}

bool child::has_ended() noexcept {
    if (!reaped_) {
        siginfo_t how = {};
        const auto handle = static_cast<id_t>(handle_.native_handle());
        if (::waitid(P_PIDFD, handle, &how, WEXITED | WNOHANG) != 0) {
            reaped_ = errno == ECHILD;  // the program around us waits for all children itself
            status_ = 0;
        } else if (how.si_pid != 0) {
            reaped_ = true;
            status_ = how.si_code == CLD_EXITED ? how.si_status : -how.si_status;
        }
    }
    return reaped_;
}

asio::awaitable<int> child::wait() {
    while (!has_ended()) {
        boost::system::error_code ended;
        co_await handle_.async_wait(asio::posix::stream_descriptor::wait_read,
                                    asio::redirect_error(asio::use_awaitable, ended));
        if (ended) {
            throw error(errc::cancelled, "waiting for a process was cancelled");
        }
    }
    co_return status_;
}

asio::awaitable<void> run_program(command what, std::chrono::seconds limit) {
    child process = co_await child::start(what);
    bool late = false;
    int status = 0;
    try {
        status = co_await with_deadline(process.wait(), deadline_after(limit));
    } catch (const error& failure) {
        late = failure.code() == errc::timeout;
        process.signal(SIGKILL);
        if (!late) {
            throw;
        }
    }
    if (!late && status == 0) {
        co_return;
    }
    const auto words = std::make_shared<std::string>();
    std::function<void()> read = [words, file = what.output] { *words = tail_of(file); };
    co_await run_blocking(std::move(read));
    const std::string end = late         ? "took too long and was killed"
                            : status < 0 ? "was ended by signal " + std::to_string(-status)
                                         : "failed with code " + std::to_string(status);
    throw error(errc::system_failed,
                what.arguments.front() + " " + end + (words->empty() ? "" : ": " + *words));
}

std::string tail_of(const std::filesystem::path& file) {
    constexpr std::streamoff most = 1'000;
    std::ifstream in(file, std::ios::binary | std::ios::ate);
    const std::streamoff size = in ? std::streamoff(in.tellg()) : 0;
    std::string text(static_cast<std::size_t>(std::min(size, most)), '\0');
    in.seekg(size - static_cast<std::streamoff>(text.size()));
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (size > most) {
        text.erase(0, text.find('\n') + 1);
    }
    while (!text.empty() && text.back() == '\n') {
        text.pop_back();
    }
    return text;
}

}  // namespace bitdotio
