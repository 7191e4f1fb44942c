// Starts the embedded program from memory.
#include "server/jail/reader_process.hpp"

#include <bitdotio/error.hpp>

#include "base/ascii.hpp"
#include "server/jail/embedded_program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace bitdotio {

namespace {

error cannot_start(const char* what, int cause) {
    return error(errc::system_failed,
                 std::string("a process that reads files cannot be started: ") + what + ": " +
                     std::strerror(cause));
}

/// A descriptor, closed at the end.
class owned {
public:
    // Above those that the child gets, so that no copy there falls on another.
    owned(int descriptor, const char* what) {
        if (descriptor < 0) throw cannot_start(what, errno);
        held_ = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 10);
        const int cause = errno;
        ::close(descriptor);
        if (held_ < 0) throw cannot_start(what, cause);
    }
    owned(owned&& other) noexcept : held_(std::exchange(other.held_, -1)) {}
    ~owned() {
        if (held_ >= 0) ::close(held_);
    }

    int get() const noexcept { return held_; }
    int release() noexcept { return std::exchange(held_, -1); }

private:
    int held_ = -1;
};

// The program as a file that exists in memory only, and that nobody can change.
owned program_file() {
    constexpr unsigned executable = 0x10;  // MFD_EXEC, which kernels before 6.3 do not know
    constexpr unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int made = ::memfd_create("import-reader", flags | executable);
    if (made < 0 && errno == EINVAL) made = ::memfd_create("import-reader", flags);
    owned file(made, "a file in memory");
    std::string_view rest = embedded_import_reader();
    while (!rest.empty()) {
        const ssize_t written = ::write(file.get(), rest.data(), rest.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) throw cannot_start("a file in memory", errno);
        rest.remove_prefix(static_cast<std::size_t>(written));
    }
    ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    return file;
}

/// What posix_spawn takes, freed at the end.
struct spawn_settings {
    spawn_settings(int file, int socket, int program) {
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, file, 0);
        ::posix_spawn_file_actions_adddup2(&actions, socket, 1);
        ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
        ::posix_spawn_file_actions_adddup2(&actions, program, 3);
        ::posix_spawn_file_actions_addclosefrom_np(&actions, 4);
        ::posix_spawnattr_init(&attributes);
        sigset_t signals;
        ::sigfillset(&signals);
        ::posix_spawnattr_setsigdefault(&attributes, &signals);
        ::sigemptyset(&signals);
        ::posix_spawnattr_setsigmask(&attributes, &signals);
        ::posix_spawnattr_setflags(
            &attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
    }
    ~spawn_settings() {
        ::posix_spawn_file_actions_destroy(&actions);
        ::posix_spawnattr_destroy(&attributes);
    }
    spawn_settings(const spawn_settings&) = delete;
    spawn_settings& operator=(const spawn_settings&) = delete;

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
};

// What of the name decides about the format. The rest would be seen in lists of processes.
std::string ending_of(std::string_view name) {
    const std::string lower = ascii::to_lower(name);
    for (const std::string_view each : {".csv", ".tsv", ".json"}) {
        if (lower.ends_with(each)) return std::string(each);
    }
    return "";
}

}  // namespace

reader_process::reader_process(const std::filesystem::path& file, std::string_view name,
                               header_row header) {
    const owned input(::open(file.c_str(), O_RDONLY | O_CLOEXEC), "the file cannot be opened");
    const owned program = program_file();
    int pair[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        throw cannot_start("a socket", errno);
    }
    owned ours(pair[0], "a socket");
    const owned theirs(pair[1], "a socket");

    std::string arguments[] = {"import-reader", std::to_string(static_cast<int>(header)),
                               ending_of(name), std::to_string(::getpid())};
    std::array<char*, 5> given{arguments[0].data(), arguments[1].data(), arguments[2].data(),
                               arguments[3].data(), nullptr};
    // Its libraries are where those of the program around us are.
    std::string libraries = "LD_LIBRARY_PATH=";
    const char* const where = std::getenv("LD_LIBRARY_PATH");
    if (where) libraries += where;
    std::array<char*, 2> environment{where ? libraries.data() : nullptr, nullptr};

    const spawn_settings settings(input.get(), theirs.get(), program.get());
    const int failed = ::posix_spawn(&pid_, "/proc/self/fd/3", &settings.actions,
                                     &settings.attributes, given.data(), environment.data());
    if (failed != 0) throw cannot_start("it cannot be run", failed);
    handle_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
    if (handle_ < 0) {
        const int cause = errno;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        throw cannot_start("it cannot be watched", cause);
    }
    socket_ = ours.release();
}

reader_process::~reader_process() {
    kill();
    wait();
    ::close(socket_);
    ::close(handle_);
}

void reader_process::kill() noexcept {
    ::syscall(SYS_pidfd_send_signal, handle_, SIGKILL, nullptr, 0U);
}

reader_process::end reader_process::wait() {
    if (std::exchange(ended_, true)) return how_;
    // One that has closed its socket and goes on is not waited for.
    pollfd one{};
    one.fd = handle_;
    one.events = POLLIN;
    if (::poll(&one, 1, 1'000) == 0) kill();
    siginfo_t how{};
    struct rusage usage {};
    long result = 0;
    do {  // the system call tells the usage, glibc's function does not
        result = ::syscall(SYS_waitid, P_PIDFD, handle_, &how, WEXITED, &usage);
    } while (result != 0 && errno == EINTR);
    if (result == 0) {
        how_.signal = how.si_code == CLD_EXITED ? 0 : how.si_status;
        const auto seconds = [](const timeval& time) {
            return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
        };
        how_.processor =
            std::chrono::duration<double>(seconds(usage.ru_utime) + seconds(usage.ru_stime));
    }
    return how_;
}

}  // namespace bitdotio
