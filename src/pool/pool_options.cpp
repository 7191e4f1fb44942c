// The preset of a pool, and the limits of its options.
#include <bitdotio/error.hpp>
#include <bitdotio/pool_options.hpp>

#include <string>

namespace bitdotio {

pool_options pool_options::serverless() {
    pool_options options;
    options.idle_timeout = std::chrono::milliseconds(120'000);
    options.lets_sleep = true;
    return options;
}

void pool_options::check() const {
    const auto require = [](bool holds, const std::string& text) {
        if (!holds) {
            throw error(errc::bad_input, "pool_options: " + text);
        }
    };
    require(min_size < max_size, "min_size (" + std::to_string(min_size) +
                                     ") must be less than max_size (" + std::to_string(max_size) +
                                     ")");
    require(!acquire_timeout || acquire_timeout->count() > 0, "acquire_timeout must be above 0 ms");
    require(idle_timeout.count() > 0, "idle_timeout must be above 0 ms");
    require(return_timeout.count() > 0, "return_timeout must be above 0 ms");
    require(max_connecting > 0, "max_connecting must be at least 1");
    require(max_lifetime.count() > 0, "max_lifetime must be above 0 ms");
    require(lifetime_jitter > 0 && lifetime_jitter <= 0.5,
            "lifetime_jitter must be above 0 and at most 0.5, or connections end all at once");
    require(probe_after.count() >= 0, "probe_after must not be negative; 0 means never");
    require(probe_timeout.count() > 0, "probe_timeout must be above 0 ms");
    require(breaker_after.count() >= 0, "breaker_after must not be negative; 0 means never");
    require(!multiplex || (multiplex->connections > 0 && multiplex->connections <= max_size),
            "multiplex->connections must be at least 1 and at most max_size (" +
                std::to_string(max_size) + ")");
    require(!multiplex || (multiplex->in_flight > 0 && multiplex->in_flight <= 65'536),
            "multiplex->in_flight must be at least 1 and at most 65536");
    require(!multiplex || reset != session_reset::always,
            "multiplex does not go with session_reset::always: statements that share a connection "
            "have no moment at which to reset it");
    require(leak_after.count() >= 0, "leak_after must not be negative; 0 means nobody is reported");
}

}  // namespace bitdotio
