// A handler that writes into a pipe, so that no signal is lost between a look and a wait.
#include "cli/interrupts.hpp"

#include "cli/exit_codes.hpp"

#include <bitdotio/error.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#include <atomic>
#include <cerrno>
#include <csignal>

namespace bitdotio::cli {

namespace {

constexpr int watched[] = {SIGINT, SIGTERM};
constexpr int late_milliseconds = 10;

// What a handler may touch: a process has one set of handlers.
std::atomic<int> living{0};
std::atomic<int> seen{0};
std::atomic<bool> paging{false};
int ends[2] = {-1, -1};
struct sigaction before[2];

extern "C" void on_interrupt(int) {
    const int kept = errno;
    if (seen.fetch_add(1) > 0 && !paging) ::_exit(static_cast<int>(exit_code::interrupted));
    const char mark = 0;
    [[maybe_unused]] const ssize_t written = ::write(ends[1], &mark, 1);
    errno = kept;
}

void await(int descriptor, short events) {
    if (living == 0) return;
    pollfd both[] = {{descriptor, events, 0}, {ends[0], POLLIN, 0}};
    for (;;) {
        const int ready = ::poll(both, 2, -1);
        if (interrupts::pending()) throw interruption("interrupted");
        if (ready >= 0 || errno != EINTR) return;
    }
}

// Ctrl-C ends a whole pipeline: its first half may have ended, though not well, before the signal
// is here.
void look_for_late_interrupt(int descriptor) {
    struct stat info {};
    if (living == 0 || (::fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode))) return;
    pollfd asked{ends[0], POLLIN, 0};
    ::poll(&asked, 1, late_milliseconds);
    if (interrupts::pending()) throw interruption("interrupted");
}

}  // namespace

interrupts::interrupts() {
    if (living++ > 0) return;
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        --living;
        throw error(errc::system_failed, "no file descriptor is left");
    }
    seen = 0;
    struct sigaction wanted {};
    wanted.sa_handler = on_interrupt;  // without SA_RESTART: what blocks returns
    for (std::size_t i = 0; i < 2; ++i)
        ::sigaction(watched[i], &wanted, &before[i]);
}

interrupts::~interrupts() {
    if (--living > 0) return;
    for (std::size_t i = 0; i < 2; ++i)
        ::sigaction(watched[i], &before[i], nullptr);
    for (int& end : ends) {
        ::close(end);
        end = -1;
    }
}

bool interrupts::pending() noexcept {
    return living > 0 && seen > 0;
}

int interrupts::descriptor() noexcept {
    return ends[0];
}

void interrupts::give_terminal(bool to_pager) noexcept {
    paging = to_pager;
}

void await_readable(int descriptor) {
    await(descriptor, POLLIN);
}

void await_writable(int descriptor) {
    await(descriptor, POLLOUT);
}

ssize_t read_some(int descriptor, char* into, std::size_t size) {
    ssize_t got = 0;
    do {
        await_readable(descriptor);
        got = ::read(descriptor, into, size);
    } while (got < 0 && errno == EINTR);
    if (got == 0) look_for_late_interrupt(descriptor);
    return got;
}

}  // namespace bitdotio::cli
