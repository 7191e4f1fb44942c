// Shares a few places among accounts, so that one with many jobs does not keep the others waiting.
#pragma once

#include "base/deadline.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace bitdotio {

/// Lets a number of coroutines of one strand pass at once, and fewer of one account. A free place
/// goes to the account that has the fewest; among its equals to the one that waits longest.
///
/// Thread safety: on its strand only.
/// Lifetime: must outlive its passes.
class fair_turns {
public:
    /// The right to be inside. Its destructor gives it back, on the strand as everything here.
    class [[nodiscard]] pass {
    public:
        pass() = default;
        pass(fair_turns& from, std::string account) noexcept
            : from_(&from), account_(std::move(account)) {}
        pass(pass&& other) noexcept
            : from_(std::exchange(other.from_, nullptr)), account_(std::move(other.account_)) {}
        pass& operator=(pass&& other) noexcept {
            std::swap(from_, other.from_);
            std::swap(account_, other.account_);
            return *this;
        }
        ~pass() {
            if (from_) from_->leave(account_);
        }

    private:
        fair_turns* from_ = nullptr;
        std::string account_;
    };

    /// Parameters: `places` in all, and `own` that one account may have of them.
    fair_turns(std::size_t places, std::size_t own) : free_(places), own_(own) {}

    /// Returns when there is a place.
    ///
    /// Errors: errc::cancelled.
    /// Cancellation: terminal, partial, total; a cancelled wait gives its place to the next.
    asio::awaitable<pass> enter(std::string account) {
        if (free_ > 0 && inside(account) < own_) {
            --free_;
            ++inside_[account];
            co_return pass(*this, std::move(account));
        }
        const auto mine = std::make_shared<waiter>(co_await asio::this_coro::executor, account);
        queue_.push_back(mine);
        boost::system::error_code ended;
        co_await mine->woken.async_wait(asio::redirect_error(asio::use_awaitable, ended));
        if (std::erase(queue_, mine) > 0) {  // not woken: the wait was cancelled
            throw error(errc::cancelled, "waiting for a turn was cancelled");
        }
        co_return pass(*this, std::move(account));
    }

private:
    struct waiter {
        waiter(const asio::any_io_executor& executor, std::string whose)
            : woken(executor, no_deadline), account(std::move(whose)) {}
        asio::steady_timer woken;
        std::string account;
    };

    void leave(const std::string& account) noexcept {
        const auto found = inside_.find(account);
        if (--found->second == 0) inside_.erase(found);
        ++free_;
        let_in();
    }

    std::size_t inside(const std::string& account) const noexcept {
        const auto found = inside_.find(account);
        return found == inside_.end() ? 0 : found->second;
    }

    void let_in() noexcept {
        auto next = queue_.end();
        std::size_t fewest = own_;
        for (auto each = queue_.begin(); each != queue_.end(); ++each) {
            const std::size_t has = inside((*each)->account);
            if (has < fewest) {
                fewest = has;
                next = each;
            }
        }
        if (next == queue_.end()) return;
        const auto chosen = *next;
        queue_.erase(next);
        --free_;
        ++inside_[chosen->account];
        chosen->woken.cancel();
    }

    std::size_t free_;
    const std::size_t own_;
    std::map<std::string, std::size_t> inside_;
    std::deque<std::shared_ptr<waiter>> queue_;
};

}  // namespace bitdotio
