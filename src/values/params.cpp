// Bound parameters in their wire form.
#include <bitdotio/error.hpp>
#include <bitdotio/params.hpp>

namespace bitdotio {

void params::add_null(oid type) {
    entries_.push_back({type, false, true, buffer_.size(), 0});
}

std::string_view params::value(std::size_t index) const {
    const entry& bound = entries_[index];
    return std::string_view(buffer_).substr(bound.offset, bound.size);
}

void params::finish(oid type, bool binary, std::size_t offset) {
    // PostgreSQL takes no field above 1 GiB, and libpq measures in int.
    constexpr std::size_t most = std::size_t{1} << 30;
    const std::size_t size = buffer_.size() - offset;
    const std::string which = "$" + std::to_string(entries_.size() + 1);
    if (size > most) {
        throw error(errc::bad_input, "the value of " + which + " is larger than 1 GiB");
    }
    if (!binary) {
        if (buffer_.find('\0', offset) != std::string::npos) {
            throw error(errc::bad_input, "the text of " + which +
                                             " contains a zero byte, which PostgreSQL cannot "
                                             "store in text; bind bitdotio::bytes instead");
        }
        buffer_.push_back('\0');
    }
    entries_.push_back({type, binary, false, offset, size});
}

}  // namespace bitdotio
