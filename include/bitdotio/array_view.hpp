// An array as the server sent it, with what containers do not keep.
#pragma once

#include <bitdotio/field.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

/// One dimension of an array. SQL counts from 1 unless an array says otherwise.
///
/// Thread safety: a value.
struct array_dimension {
    std::size_t size = 0;
    std::int32_t lower_bound = 1;

    friend bool operator==(const array_dimension&, const array_dimension&) = default;
};

/// An array as the server sent it: its dimensions, and its elements in order, the last dimension's
/// index moving fastest. Callers use `field.as<array_view>()` where a container would not do: for
/// lower bounds, or a number of dimensions that is known at run time only.
///
/// Thread safety: one thread at a time, because `next` moves on; the result is only read.
/// Lifetime: refers to the result of its field.
class array_view {
public:
    static constexpr std::size_t most_dimensions = 6;  // PostgreSQL's MAXDIM

    /// Parameters: `wanted` is named in errors as the C++ type.
    /// Errors: errc::wrong_type if the field is not an array.
    explicit array_view(const field_view& field, std::string_view wanted = "bitdotio::array_view");

    /// The number of dimensions; 0 for an empty array, however it was declared.
    std::size_t dimension_count() const noexcept { return dimension_count_; }
    const array_dimension& dimension(std::size_t index) const { return dimensions_[index]; }
    /// The number of elements in all dimensions.
    std::size_t size() const noexcept { return size_; }
    oid element_type() const noexcept { return element_type_; }

    /// The next element, `size()` times. What it refers to may live in this view.
    field_view next();

private:
    struct text_element {
        std::size_t offset;
        std::size_t size;
        bool null;
    };

    void open_binary();
    void open_text();

    field_view field_;
    std::string_view wanted_;
    std::array<array_dimension, most_dimensions> dimensions_{};
    std::size_t dimension_count_ = 0;
    std::size_t size_ = 0;
    oid element_type_ = oids::unspecified;
    std::size_t at_ = 0;  // binary: an offset into the data; text: an index into elements_
    std::string unescaped_;
    std::vector<text_element> elements_;
};

template <>
struct from_sql<array_view> {
    static constexpr bool refers_to_result = true;
    static array_view read(const field_view& field) { return array_view(field); }
};

}  // namespace bitdotio
