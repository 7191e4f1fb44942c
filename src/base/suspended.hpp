// A coroutine that is suspended, as a value: it goes on when that is called, once.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/deferred.hpp>

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace bitdotio {

namespace asio = boost::asio;

/// Owns a suspended coroutine, whose frames end with it if it is not called. As a handler of
/// asio::use_awaitable, but without a frame of its own.
///
/// Thread safety: none; a value that moves.
class suspended {
public:
    suspended() noexcept = default;
    template <class Handler>
        requires(!std::is_same_v<std::remove_cvref_t<Handler>, suspended>)
    explicit suspended(Handler&& handler) : does_(&deeds_of<std::remove_cvref_t<Handler>>) {
        using kept = std::remove_cvref_t<Handler>;
        static_assert(sizeof(kept) <= sizeof place_ && alignof(kept) <= alignof(void*));
        static_assert(std::is_nothrow_move_constructible_v<kept> ||
                      std::is_move_constructible_v<kept>);
        ::new (place_) kept(std::forward<Handler>(handler));
    }
    suspended(suspended&& other) noexcept : does_(std::exchange(other.does_, nullptr)) {
        if (does_) does_->move(other.place_, place_);
    }
    suspended& operator=(suspended&& other) noexcept {
        if (this != &other) {
            this->~suspended();
            ::new (this) suspended(std::move(other));
        }
        return *this;
    }
    ~suspended() {
        if (does_) does_->destroy(place_);
    }

    explicit operator bool() const noexcept { return does_ != nullptr; }
    /// The coroutine's own.
    asio::any_io_executor executor() const { return does_->executor(place_); }
    /// It goes on, until it is suspended the next time or has ended.
    void operator()() { std::exchange(does_, nullptr)->go_on(place_); }

private:
    struct deeds {
        void (*move)(void* from, void* to) noexcept;  // nothing is left there
        void (*destroy)(void* place) noexcept;
        void (*go_on)(void* place);  // nor here
        asio::any_io_executor (*executor)(const void* place);
    };

    template <class Handler>
    static Handler take(void* place) noexcept {
        auto* const kept = static_cast<Handler*>(place);
        Handler taken(std::move(*kept));
        kept->~Handler();
        return taken;
    }

    template <class Handler>
    static constexpr deeds deeds_of{
        [](void* from, void* to) noexcept { ::new (to) Handler(take<Handler>(from)); },
        [](void* place) noexcept { static_cast<Handler*>(place)->~Handler(); },
        [](void* place) { take<Handler>(place)(); },
        [](const void* place) -> asio::any_io_executor {
            return asio::get_associated_executor(*static_cast<const Handler*>(place));
        }};

    alignas(void*) std::byte place_[4 * sizeof(void*)];
    const deeds* does_ = nullptr;
};

/// Awaited, suspends the coroutine and calls `begin` with it.
template <class Begin>
auto suspend(Begin begin) {
    auto hand_over = [begin = std::move(begin)](auto&& handler) mutable {
        begin(std::forward<decltype(handler)>(handler));
    };
    return asio::async_initiate<const asio::deferred_t&, void()>(std::move(hand_over),
                                                                 asio::deferred);
}

}  // namespace bitdotio
