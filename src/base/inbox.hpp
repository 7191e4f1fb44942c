// A box into which many threads put things for one, without a lock.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

namespace bitdotio {

/// What many hand over and one takes, in the order in which it came.
///
/// Parameters: `T` is derived from inbox<T>::item, and lies in one box at a time.
/// Thread safety: `put` from any thread; the rest from one at a time.
template <class T>
class inbox {
public:
    class item {
        friend inbox;
        item* next_ = nullptr;
        std::shared_ptr<T> self_;  // keeps it alive in the box
    };

    inbox() = default;
    inbox(const inbox&) = delete;
    inbox& operator=(const inbox&) = delete;
    /// What is still there is let go.
    ~inbox() {
        take([](std::shared_ptr<T>) {});
    }

    /// Whether the box was empty: then the one who takes has to be told.
    bool put(std::shared_ptr<T> one) {
        item* const added = one.get();
        added->self_ = std::move(one);
        item* before = last_.load();
        do {
            added->next_ = before;
        } while (!last_.compare_exchange_weak(before, added));
        return before == nullptr;  // what was added may be gone by now
    }

    /// Takes all that is there, and gives it to `with`, the oldest first.
    template <class With>
    void take(With&& with) {
        item* rest = last_.exchange(nullptr);
        item* first = nullptr;
        while (rest) {
            item* const older = rest->next_;
            rest->next_ = first;
            first = rest;
            rest = older;
        }
        while (first) {
            item* const next = first->next_;
            // Out of the item in any case: what keeps itself is never destroyed.
            std::shared_ptr<T> taken = std::move(first->self_);
            first = next;
            with(std::move(taken));
        }
    }

private:
    std::atomic<item*> last_{nullptr};
};

}  // namespace bitdotio
