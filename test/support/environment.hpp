// Changes a variable of the environment for the length of a scope.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

namespace test {

/// Whether tests take more time than a build on every change allows: BITDOTIO_SOAK is set.
inline bool soaking() {
    return std::getenv("BITDOTIO_SOAK") != nullptr;
}

/// Sets or removes a variable and restores its former value at the end.
///
/// Thread safety: none; the environment belongs to the process.
class scoped_variable {
public:
    /// Parameters: `value` is the new value; nothing removes the variable.
    scoped_variable(std::string name, const std::optional<std::string>& value)
        : name_(std::move(name)) {
        if (const char* before = std::getenv(name_.c_str())) {
            before_ = before;
        }
        put(value);
    }
    ~scoped_variable() { put(before_); }
    scoped_variable(const scoped_variable&) = delete;
    scoped_variable& operator=(const scoped_variable&) = delete;

private:
    void put(const std::optional<std::string>& value) const {
        if (value) {
            ::setenv(name_.c_str(), value->c_str(), 1);
        } else {
            ::unsetenv(name_.c_str());
        }
    }

    const std::string name_;
    std::optional<std::string> before_;
};

}  // namespace test
