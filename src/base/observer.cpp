// Names the reasons for closing connections, as metrics use them.
#include <bitdotio/observer.hpp>

namespace bitdotio {

std::string_view to_string(close_reason why) noexcept {
    switch (why) {
        case close_reason::idle: return "idle";
        case close_reason::aged: return "aged";
        case close_reason::dead: return "dead";
        case close_reason::broken: return "broken";
        case close_reason::evicted: return "evicted";
        case close_reason::pool_shrunk: return "pool_shrunk";
        case close_reason::pool_reset: return "pool_reset";
        case close_reason::pool_closed: return "pool_closed";
    }
    return "unknown";
}

}  // namespace bitdotio
