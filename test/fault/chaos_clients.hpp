// Many clients that write and read at random, and record in a ledger what they were told.
#pragma once

#include "support/ledger.hpp"
#include "support/values.hpp"

#include <bitdotio/pool.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace test {

/// What clients do about a lost connection.
enum class policy {
    contract,  ///< what the library does by itself
    naive,     ///< repeats whatever failed, as many programs do
};

/// The clients: each runs one operation after another, until all together have run so many.
///
/// Thread safety: none; it is used where its executor runs, which must be of one thread.
class chaos_clients {
public:
    /// What the clients need in the database. Run as the owner, once.
    static const char* const schema;

    chaos_clients(bitdotio::pool pool, ledger& book, dice& chance, policy how,
                  std::uint64_t operations)
        : pool_(std::move(pool)),
          book_(book),
          dice_(chance),
          policy_(how),
          operations_(operations) {}

    asio::awaitable<void> work();

    std::uint64_t done() const { return done_; }
    bool is_over() const { return done_ == operations_; }
    std::uint64_t lost() const { return lost_; }
    std::uint64_t misread() const { return misread_; }
    std::chrono::milliseconds slowest() const {
        return std::chrono::duration_cast<std::chrono::milliseconds>(slowest_);
    }
    /// Errors that no fault explains.
    const std::vector<bitdotio::error>& strange() const { return strange_; }

private:
    using keys = std::vector<ledger::key>;

    asio::awaitable<void> one_thing();
    template <class Once>
    asio::awaitable<void> write(std::size_t count, Once& once);
    asio::awaitable<void> transact(const keys& written);
    asio::awaitable<void> pipeline();
    asio::awaitable<void> read();
    bool tries_again(const bitdotio::error& failure, int time) const;
    void note(const bitdotio::error& failure);

    bitdotio::pool pool_;
    ledger& book_;
    dice& dice_;
    const policy policy_;
    const std::uint64_t operations_;
    std::uint64_t begun_ = 0;
    std::uint64_t done_ = 0;
    std::uint64_t lost_ = 0;
    std::uint64_t misread_ = 0;
    std::chrono::steady_clock::duration slowest_{0};
    std::vector<bitdotio::error> strange_;
};

}  // namespace test
