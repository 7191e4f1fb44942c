// Opens connections to one target: resolves without blocking, tries hosts, waits for a wake.
#pragma once

#include <bitdotio/connect_options.hpp>

#include "base/deadline.hpp"
#include "base/strand.hpp"
#include "postgres/connect_defaults.hpp"
#include "postgres/host_choice.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bitdotio {

class cancel_queue;
class postgres_session;

/// Thread safety: a value over shared, unchanging options; `dial` and `open` may run at once.
/// Cancellation: terminal, partial, total; nothing is left behind.
class connector {
public:
    using strand = bitdotio::strand;

    /// Parameters: `shared` is the strand of all its sessions; without it each has its own.
    /// Errors: errc::bad_input for invalid options.
    connector(asio::any_io_executor executor, connect_options options,
              std::optional<strand> shared = std::nullopt);

    /// Tries every address of every host once until one of the wanted role answers.
    ///
    /// Errors: the last error, or the first that is fatal; see judge_dial for what to do.
    asio::awaitable<std::shared_ptr<postgres_session>> dial() const;

    /// Dials until the database is awake, at most connect_options::wake_timeout long.
    asio::awaitable<std::shared_ptr<postgres_session>> open() const;

    const connect_options& options() const { return *options_; }
    /// How many statements of its sessions the server has been asked to stop.
    std::uint64_t cancels_sent() const noexcept;

private:
    struct address {
        address(const host_port& named_, std::string numeric_)
            : named(named_), numeric(std::move(numeric_)) {}

        host_port named;
        std::string numeric;  // empty for a Unix socket
    };
    using session = std::shared_ptr<postgres_session>;

    // The login of one dial, at whatever address.
    struct login {
        std::string user;
        std::string password;
        password_file passwords{};
        int asked = 0;  // for credentials
    };

    asio::awaitable<std::vector<address>> resolve(host_port host) const;
    asio::awaitable<void> read_passwords(std::shared_ptr<password_file> passwords) const;
    asio::awaitable<void> ask(login& who) const;
    asio::awaitable<session> dial_as(address target, login& who) const;
    asio::awaitable<session> dial_address(address target, const login& who) const;
    asio::awaitable<suitability> look_at(session candidate) const;

    asio::any_io_executor executor_;
    std::optional<strand> shared_;
    std::shared_ptr<const connect_options> options_;
    std::shared_ptr<cancel_queue> cancels_;
};

/// A random number in [0, 1), for jitter.
double random_fraction();

}  // namespace bitdotio
