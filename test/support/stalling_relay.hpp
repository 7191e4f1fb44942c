// A relay that hands on so many bytes and then falls silent, like a server that hangs.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

namespace test {

/// Listens on a port of its own on 127.0.0.1 and hands each connection on, one thread for all.
///
/// Once so many bytes have come from one of the sides, nothing is taken from that side any more.
/// Lifetime: its end closes all connections.
class stalling_relay {
public:
    static constexpr std::size_t endless = SIZE_MAX;

    /// Parameters: `target` is the port on 127.0.0.1 to hand on to; the others count over all
    ///     connections.
    stalling_relay(std::uint16_t target, std::size_t from_client, std::size_t from_server);
    ~stalling_relay();
    stalling_relay(const stalling_relay&) = delete;
    stalling_relay& operator=(const stalling_relay&) = delete;

    std::uint16_t port() const noexcept { return port_; }
    /// Whether it has fallen silent, and nothing has come for a moment: what it handed on last has
    /// had time to be dealt with.
    bool stalled() const noexcept { return stalled_; }

private:
    void serve();

    const std::uint16_t target_;
    std::size_t left_[2];
    std::uint16_t port_ = 0;
    int listening_ = -1;
    int end_[2] = {-1, -1};
    std::atomic<bool> stalled_{false};
    std::thread thread_;
};

}  // namespace test
