// A queue that keeps its memory: std::deque gives its blocks back and takes them again.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace bitdotio {

/// What comes first goes first.
///
/// Thread safety: none.
template <class T>
class fifo {
public:
    bool empty() const noexcept { return first_ == all_.size(); }
    std::size_t size() const noexcept { return all_.size() - first_; }
    T& front() noexcept { return all_[first_]; }
    void push_back(T one) { all_.push_back(std::move(one)); }
    T take_front() {
        T one = std::move(all_[first_]);
        if (++first_ == all_.size()) {
            clear();
        } else if (first_ >= 64 && 2 * first_ >= all_.size()) {  // as many as are left move up
            all_.erase(all_.begin(), all_.begin() + static_cast<std::ptrdiff_t>(first_));
            first_ = 0;
        }
        return one;
    }
    void clear() noexcept {
        all_.clear();
        first_ = 0;
    }
    auto begin() const { return all_.begin() + static_cast<std::ptrdiff_t>(first_); }
    auto end() const { return all_.end(); }

private:
    std::vector<T> all_;
    std::size_t first_ = 0;
};

}  // namespace bitdotio
