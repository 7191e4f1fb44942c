// A place where one coroutine waits until it is woken, without a timer.
#pragma once

#include "base/spawn.hpp"
#include "base/strand.hpp"
#include "base/suspended.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/query.hpp>

#include <mutex>
#include <utility>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

class resumption;

/// Keeps the coroutines of an execution context that wait at a resumption, so that they end with it
/// as those do that wait for a timer.
///
/// Thread safety: any thread.
class sleeping_coroutines : public asio::execution_context::service {
public:
    using key_type = sleeping_coroutines;
    inline static asio::execution_context::id id;

    explicit sleeping_coroutines(asio::execution_context& owner)
        : asio::execution_context::service(owner) {}

    static sleeping_coroutines& of(const asio::any_io_executor& executor) {
        return asio::use_service<sleeping_coroutines>(
            asio::query(executor, asio::execution::context));
    }

private:
    friend class resumption;

    void shutdown() override;

    std::mutex lock_;
    resumption* first_ = nullptr;
};

/// One coroutine at a time waits here, at the cost of its own frame.
///
/// Thread safety: on its strand only, where the coroutine goes on too.
/// Lifetime: it stands in the frame of the coroutine that waits, or in what that keeps; the strand
///     outlives it.
class resumption {
public:
    using strand = bitdotio::strand;

    resumption(sleeping_coroutines& context, const strand& home) noexcept
        : context_(context), home_(home) {}
    ~resumption() {
        if (waiting_) take();
    }
    resumption(const resumption&) = delete;

    /// Returns after `wake`, or when it was cancelled: look at what it was waited for.
    ///
    /// Cancellation: what the caller's coroutine supports.
    auto wait() {
        return suspend([this](auto&& waiting) {
            auto slot = asio::get_associated_cancellation_slot(waiting);
            if (slot.is_connected()) {
                slot.assign([this](asio::cancellation_type) { wake(); });
            }
            put(suspended(std::move(waiting)));
        });
    }

    /// Lets the coroutine go on soon, not before this returns; nothing happens if none waits.
    void wake() {
        if (auto woken = take()) {
            resume_soon(home_, std::move(woken));
        }
    }

    // ---- the same for one that is suspended otherwise, and goes on as who wakes it wants

    void put(suspended waiting) {
        const std::lock_guard held(context_.lock_);
        waiting_ = std::move(waiting);
        next_ = context_.first_;
        if (next_) next_->before_ = this;
        context_.first_ = this;
    }

    /// Nothing if none waits.
    suspended take() {
        const std::lock_guard held(context_.lock_);
        return take_locked();
    }

private:
    friend class sleeping_coroutines;

    suspended take_locked() {
        if (waiting_) {
            (before_ ? before_->next_ : context_.first_) = next_;
            if (next_) next_->before_ = before_;
            before_ = next_ = nullptr;
        }
        return std::move(waiting_);
    }

    sleeping_coroutines& context_;
    const strand& home_;
    suspended waiting_;
    resumption* before_ = nullptr;
    resumption* next_ = nullptr;
};

// Destroys what waits, and with it the frames in which the resumptions stand.
inline void sleeping_coroutines::shutdown() {
    std::vector<suspended> all;
    {
        const std::lock_guard held(lock_);
        while (first_) {
            all.push_back(first_->take_locked());
        }
    }
}

}  // namespace bitdotio
