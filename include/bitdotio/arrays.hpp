// Arrays of any dimension: bound from containers, read into them.
#pragma once

#include <bitdotio/array_view.hpp>
#include <bitdotio/field.hpp>
#include <bitdotio/shape.hpp>
#include <bitdotio/to_sql.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace bitdotio {

namespace wire {

template <class T>
struct array_traits {
    static constexpr bool is_array = false;
    static constexpr std::size_t depth = 0;
    using leaf = T;
};
template <class T, class Allocator>
    requires(!std::is_same_v<T, std::byte>)
struct array_traits<std::vector<T, Allocator>> {
    static constexpr bool is_array = true;
    static constexpr std::size_t depth = array_traits<T>::depth + 1;
    using leaf = typename array_traits<T>::leaf;
};
template <class T, std::size_t N>
struct array_traits<std::array<T, N>> {
    static constexpr bool is_array = true;
    static constexpr std::size_t depth = array_traits<T>::depth + 1;
    using leaf = typename array_traits<T>::leaf;
};
template <class T>
concept array_container = array_traits<T>::is_array;

// The functions of an array that need no template are in arrays.cpp.
void require_dimensions(const array_view& array, const field_view& field, std::size_t depth,
                        std::string_view wanted);
error wrong_size(const field_view& field, std::size_t size, std::size_t expected,
                 std::string_view wanted);
error ragged(std::string_view type);
// Appends the head of the binary form.
void put_array_head(std::string& out, const std::size_t* sizes, std::size_t dimensions,
                    bool may_have_nulls, oid element);
// Quotes the element of a text form that was appended since `offset`.
void quote_element(std::string& out, std::size_t offset);

template <class T>
T read_level(array_view& array, std::size_t level, const field_view& field) {
    if constexpr (!array_container<T>) {
        return array.next().as<T>();
    } else {
        const std::size_t size = level < array.dimension_count() ? array.dimension(level).size : 0;
        if constexpr (requires(T container) { container.reserve(size); }) {
            T container;
            container.reserve(size);
            for (std::size_t i = 0; i < size; ++i) {
                container.push_back(read_level<typename T::value_type>(array, level + 1, field));
            }
            return container;
        } else {
            constexpr std::size_t expected = std::tuple_size_v<T>;
            if (size != expected) {
                throw wrong_size(field, size, expected, cpp_name<T>());
            }
            return [&]<std::size_t... I>(std::index_sequence<I...>) {
                return T{
                    {((void)I, read_level<typename T::value_type>(array, level + 1, field))...}};
            }
            (std::make_index_sequence<expected>());
        }
    }
}

// Notes the sizes along the first elements, then holds all others to them.
template <class T>
void measure(const T& value, std::size_t* sizes) {
    if constexpr (array_container<T>) {
        *sizes = value.size();
        if (!value.empty()) {
            measure<typename T::value_type>(value[0], sizes + 1);
        }
    }
}
template <class T>
bool is_rectangular(const T& value, const std::size_t* sizes) {
    if constexpr (array_container<T>) {
        if (value.size() != *sizes) {
            return false;
        }
        if constexpr (array_container<typename T::value_type>) {
            for (const auto& element : value) {
                if (!is_rectangular(element, sizes + 1)) {
                    return false;
                }
            }
        }
    }
    return true;
}

template <class T>
void write_elements(const T& value, std::string& out) {
    if constexpr (array_container<T>) {
        for (const typename T::value_type& element : value) {
            write_elements(element, out);
        }
    } else if constexpr (is_optional<T>) {
        if (value) {
            write_elements(*value, out);
        } else {
            put(out, std::uint32_t{0xffffffff});
        }
    } else {
        const std::size_t offset = out.size();
        out.append(4, '\0');
        to_sql<T>::write(value, out);
        set_length(out, offset);
    }
}

template <class T>
void write_text_elements(const T& value, std::string& out) {
    if constexpr (array_container<T>) {
        char before = '{';
        for (const typename T::value_type& element : value) {
            out.push_back(before);
            write_text_elements(element, out);
            before = ',';
        }
        out.push_back('}');
    } else if constexpr (is_optional<T>) {
        if (value) {
            write_text_elements(*value, out);
        } else {
            out += "NULL";
        }
    } else {
        const std::size_t offset = out.size();
        write_text(value, out);
        quote_element(out, offset);
    }
}

}  // namespace wire

/// Containers bind as arrays: one std::vector or std::array a dimension, std::optional elements for
/// NULL. A nested vector whose parts differ in length is refused with errc::bad_input, because an
/// array is a box; if any of its dimensions is empty, so is the array.
///
/// Arrays of types whose numbers are fixed travel in binary, with their type. Arrays of strings,
/// enums and composites travel as text, and the server infers their type.
template <wire::array_container T>
    requires wire::bindable<wire::without_optional<typename wire::array_traits<T>::leaf>>
struct to_sql<T> {
    using traits = wire::array_traits<T>;
    using leaf = wire::without_optional<typename traits::leaf>;
    static_assert(traits::depth <= array_view::most_dimensions,
                  "PostgreSQL's arrays have 6 dimensions at most");
    static_assert(!wire::array_container<leaf>, "an array's NULL parts can be elements only");

    static constexpr oid type = array_of(to_sql<leaf>::type);
    static constexpr bool binary = to_sql<leaf>::binary && type != oids::unspecified;

    static void write(const T& value, std::string& out) {
        if constexpr (binary) {
            std::size_t sizes[traits::depth] = {};
            const bool empty = measured(value, sizes);
            wire::put_array_head(out, sizes, empty ? 0 : traits::depth,
                                 wire::is_optional<typename traits::leaf>, to_sql<leaf>::type);
            if (!empty) {
                wire::write_elements(value, out);
            }
        } else {
            write_text(value, out);
        }
    }
    static void write_text(const T& value, std::string& out) {
        std::size_t sizes[traits::depth] = {};
        if (measured(value, sizes)) {
            out += "{}";
        } else {
            wire::write_text_elements(value, out);
        }
    }

private:
    // Fills in the sizes; returns whether one is zero.
    static bool measured(const T& value, std::size_t* sizes) {
        wire::measure(value, sizes);
        if (!wire::is_rectangular(value, sizes)) {
            throw wire::ragged(wire::cpp_name<T>());
        }
        bool empty = false;
        for (std::size_t i = 0; i < traits::depth; ++i) {
            empty = empty || sizes[i] == 0;
        }
        return empty;
    }
};

/// Arrays read into containers of as many dimensions; lower bounds are not kept: see array_view.
///
/// Errors: errc::wrong_type for another number of dimensions, or another size than a std::array's;
///     errc::unexpected_null for NULL elements unless they are std::optional.
template <wire::array_container T>
struct from_sql<T> {
    static constexpr bool refers_to_result =
        wire::refers_to_result<typename wire::array_traits<T>::leaf>();

    static T read(const field_view& field) {
        constexpr std::string_view wanted = wire::cpp_name<T>();
        array_view array(field, wanted);
        wire::require_dimensions(array, field, wire::array_traits<T>::depth, wanted);
        return wire::read_level<T>(array, 0, field);
    }
};

}  // namespace bitdotio
