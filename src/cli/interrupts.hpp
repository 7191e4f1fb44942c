// Ctrl-C, as work and blocking calls see it.
#pragma once

#include <sys/types.h>
#include <cstddef>

namespace bitdotio::cli {

/// While one of these lives, SIGINT and SIGTERM do not end the program: they are kept for those
/// who ask. A second one ends it at once, with the status of an interruption, unless a pager has
/// the terminal.
///
/// Thread safety: made and destroyed by the main thread; several may live, one in another.
class interrupts {
public:
    /// Errors: errc::system_failed if there is no descriptor left.
    interrupts();
    ~interrupts();
    interrupts(const interrupts&) = delete;
    interrupts& operator=(const interrupts&) = delete;

    /// Whether there has been one.
    static bool pending() noexcept;
    /// Readable once there has been one; it must not be read.
    static int descriptor() noexcept;
    /// Lets a pager have the terminal, whose keys it understands itself, or takes it back.
    static void give_terminal(bool to_pager) noexcept;
};

/// Waits until a descriptor can be read, or written, without the risk that Ctrl-C is missed.
///
/// Errors: `interruption` if there has been a Ctrl-C while `interrupts` live.
void await_readable(int descriptor);
void await_writable(int descriptor);

/// Reads what there is, as ::read does, but for interruptions by signals. An end of the input that
/// comes with a Ctrl-C is none: what was read is not the whole.
///
/// Errors: as await_readable.
ssize_t read_some(int descriptor, char* into, std::size_t size);

}  // namespace bitdotio::cli
