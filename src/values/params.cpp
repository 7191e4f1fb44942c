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
    const std::size_t size = buffer_.size() - offset;
    wire::check_value(std::string_view(buffer_).substr(offset), binary, entries_.size() + 1);
    if (!binary) {
        buffer_.push_back('\0');
    }
    entries_.push_back({type, binary, false, offset, size});
}

void wire::refuse_value(std::string_view value, std::size_t number) {
    const std::string which = "$" + std::to_string(number);
    if (value.size() > std::size_t{1} << 30) {
        throw error(errc::bad_input, "the value of " + which + " is larger than 1 GiB");
    }
    throw error(errc::bad_input, "the text of " + which +
                                     " contains a zero byte, which PostgreSQL cannot "
                                     "store in text; bind bitdotio::bytes instead");
}

}  // namespace bitdotio
