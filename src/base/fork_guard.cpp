// Counts the forks between the start of the program and this process.
#include "base/fork_guard.hpp"

#include <bitdotio/error.hpp>

#include <pthread.h>

#include <atomic>

namespace bitdotio {

namespace {

std::atomic<unsigned> generation{0};

void count_fork() noexcept {
    generation.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

unsigned fork_guard::current() noexcept {
    [[maybe_unused]] static const int registered = pthread_atfork(nullptr, nullptr, &count_fork);
    return generation.load(std::memory_order_relaxed);
}

void fork_guard::check_same_process(const std::string& what) const {
    if (!is_here()) {
        throw error(errc::forked, what +
                                      " belongs to the process that forked this one; make a new "
                                      "one here, on an executor of this process")
            .with(outcome::not_sent);
    }
}

}  // namespace bitdotio
