// Tells which process made an object: after a fork, the child must not use its copy.
#pragma once

#include <memory>
#include <string>
#include <utility>

namespace bitdotio {

/// The process in which it was made; it notices a fork without a system call.
///
/// A child shares the sockets and the reactor of its parent: whatever it did to them would happen
/// to the parent's. Of the parent's threads only the forking one lives on in the child, so a lock
/// may never be released.
///
/// Thread safety: a value.
class fork_guard {
public:
    bool is_here() const noexcept { return generation_ == current(); }

    /// Must be called before anything is awaited, posted or locked.
    ///
    /// Parameters: `what` names the object, as the beginning of a sentence.
    /// Errors: errc::forked in a child of the process that made it.
    void check_same_process(const std::string& what) const;

private:
    static unsigned current() noexcept;

    unsigned generation_ = current();
};

/// Makes as std::make_shared does, but destroys only in the process that made it: a destructor in a
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
