// What a statement may not say.
#include <bitdotio/error.hpp>
#include <bitdotio/statement.hpp>

namespace bitdotio::wire {

std::chrono::milliseconds checked_timeout(std::chrono::milliseconds value, const char* name) {
    if (value.count() < 0) {
        throw error(errc::bad_input, std::string(name) + " is " + std::to_string(value.count()) +
                                         " ms; it must not be negative, and 0 means no limit")
            .with(outcome::not_sent);
    }
    return value;
}

}  // namespace bitdotio::wire
