// Which process made an object: what a fork leaves in the child is a copy without a life.
#pragma once

#include <memory>
#include <string>
#include <utility>

namespace bitdotio {

/// The process in which it was made; a fork is noticed without a system call.
///
/// A child of it shares the sockets and the reactor of its parent: whatever it did to them would
/// happen to the parent's. And of the parent's threads only the forking one lives on there, so
/// that a lock may never be given back.
///
/// Thread safety: a value.
class fork_guard {
public:
    bool is_here() const noexcept { return generation_ == current(); }

    /// To be called before anything is awaited, posted or locked.
    ///
    /// Parameters: `what` names the object, as the beginning of a sentence.
    /// Errors: errc::forked in a child of the process that made it.
    void check_same_process(const std::string& what) const;

private:
    static unsigned current() noexcept;

    unsigned generation_ = current();
};

/// Made as by std::make_shared, destroyed only in the process that made it: a destructor in a
/// child would say goodbye over the parent's sockets, and take them off its reactor.
template <class T, class... Arguments>
std::shared_ptr<T> make_for_this_process(Arguments&&... arguments) {
    auto end = [birth = fork_guard()](T* object) {
        if (birth.is_here()) {
            delete object;
        }
    };
    return std::shared_ptr<T>(new T(std::forward<Arguments>(arguments)...), end);
}

}  // namespace bitdotio
