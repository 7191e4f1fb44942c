// Shared by the templates of arrays: errors, the head of the binary form, quotes.
#include <bitdotio/arrays.hpp>

namespace bitdotio {

namespace wire {

void require_dimensions(const array_view& array, const field_view& field, std::size_t depth,
                        std::string_view wanted) {
    if (array.dimension_count() != 0 && array.dimension_count() != depth) {
        throw field.mismatch(wanted, "the number of dimensions is " +
                                         std::to_string(array.dimension_count()) + ", not " +
                                         std::to_string(depth));
    }
}

error wrong_size(const field_view& field, std::size_t size, std::size_t expected,
                 std::string_view wanted) {
    return field.mismatch(wanted, "the number of elements is " + std::to_string(size) + ", not " +
                                      std::to_string(expected));
}

error ragged(std::string_view type) {
    return error(errc::bad_input, "cannot bind a " + std::string(type) +
                                      " whose parts differ in size: all rows of an SQL array are "
                                      "of one length");
}

void put_array_head(std::string& out, const std::size_t* sizes, std::size_t dimensions,
                    bool may_have_nulls, oid element) {
    put(out, static_cast<std::uint32_t>(dimensions));
    put(out, std::uint32_t{may_have_nulls});
    put(out, element);
    for (std::size_t i = 0; i < dimensions; ++i) {
        put(out, static_cast<std::uint32_t>(sizes[i]));
        put(out, std::uint32_t{1});
    }
}

void quote_element(std::string& out, std::size_t offset) {
    const std::string raw = out.substr(offset);
    out.resize(offset);
    out.push_back('"');
    for (const char c : raw) {
        if (c == '"' || c == '\\') {
            out.push_back('\\');
        }
        out.push_back(c);
    }
    out.push_back('"');
}

}  // namespace wire

}  // namespace bitdotio
