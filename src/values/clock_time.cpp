// The error of times that PostgreSQL has no room for.
#include <bitdotio/clock_time.hpp>

namespace bitdotio::wire {

error out_of_time() {
    return error(errc::bad_input, "cannot bind a time beyond the range of PostgreSQL's");
}

}  // namespace bitdotio::wire
