// Another user, limits of the kernel, and a list of system calls.
#include "import_reader/enter_jail.hpp"

#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>

namespace bitdotio {

namespace {

// The user and group that own nothing: "nobody".
constexpr unsigned nobody = 65'534;

// Never more than what this process has been given.
bool limit(int what, std::uint64_t soft, std::uint64_t hard) {
    struct rlimit now {};
    if (::getrlimit(what, &now) != 0) return false;
    now.rlim_max = std::min<rlim_t>(now.rlim_max, hard);
    now.rlim_cur = std::min<rlim_t>(now.rlim_max, soft);
    return ::setrlimit(what, &now) == 0;
}

bool limit(int what, std::uint64_t most) {
    return limit(what, most, most);
}

bool limit_all(std::uint64_t memory, std::uint64_t seconds) {
    // A second between the two, else the kernel sends the signal that says nothing.
    return limit(RLIMIT_AS, memory) && limit(RLIMIT_CPU, seconds, seconds + 1) &&
           limit(RLIMIT_NOFILE, 8) && limit(RLIMIT_FSIZE, 0) && limit(RLIMIT_CORE, 0) &&
           limit(RLIMIT_NPROC, 0) && limit(RLIMIT_MEMLOCK, 0) && limit(RLIMIT_MSGQUEUE, 0);
}

bool become_nobody() {
    if (::geteuid() != 0) return true;
    return ::setgroups(0, nullptr) == 0 && ::setresgid(nobody, nobody, nobody) == 0 &&
           ::setresuid(nobody, nobody, nobody) == 0;
}

/// The list of system calls, as libseccomp makes it.
class call_list {
public:
    // What is not on the list ends the process.
    call_list() : list_(::seccomp_init(SCMP_ACT_KILL_PROCESS)) {}
    ~call_list() {
        if (list_) ::seccomp_release(list_);
    }
    call_list(const call_list&) = delete;
    call_list& operator=(const call_list&) = delete;

    bool fill() {
        if (!list_) return false;
        for (const int call :
             {SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(close), SCMP_SYS(munmap),
              SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(futex),
              SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time),
              SCMP_SYS(sched_yield), SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(rt_sigreturn),
              SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group)}) {
            // Calls that this architecture does not have need not be allowed.
            const int result = ::seccomp_rule_add(list_, SCMP_ACT_ALLOW, call, 0);
            if (result != 0 && result != -EDOM) return false;
        }
        // Libraries that would like to see a file are told no, and go on without.
        for (const int call :
             {SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(access), SCMP_SYS(faccessat),
              SCMP_SYS(stat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(readlink),
              SCMP_SYS(readlinkat), SCMP_SYS(getcwd)}) {
            // Calls that this architecture does not have are none to forbid.
            const int result = ::seccomp_rule_add(list_, SCMP_ACT_ERRNO(EACCES), call, 0);
            if (result != 0 && result != -EDOM) return false;
        }
        // Memory that can be executed is not to be had.
        const auto no_code = SCMP_CMP(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
        return ::seccomp_rule_add(list_, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_code) == 0 &&
               ::seccomp_rule_add(list_, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_code) == 0;
    }

    bool load() { return ::seccomp_load(list_) == 0; }

private:
    scmp_filter_ctx list_;
};

}  // namespace

const char* enter_jail(pid_t parent, std::uint64_t memory, std::uint64_t seconds) {
    ::prctl(PR_SET_NAME, "import-reader");
    if (::chdir("/") != 0) return "it cannot leave its directory";
    if (!become_nobody()) return "it cannot become the user 65534";
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (::prctl(PR_SET_DUMPABLE, 0) != 0) return "it cannot shut debuggers out";
    // After the change of the user, which forgets it.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) return "its parent ended";
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return "it cannot give up rights";
    call_list calls;
    if (!calls.fill()) return "the list of system calls cannot be made";
    if (!limit_all(memory, seconds)) return "the limits cannot be set";
    if (!calls.load()) return "the kernel does not take a list of system calls (seccomp)";
    return nullptr;
}

}  // namespace bitdotio
