// Several fields as one C++ value: how many it takes, and how it is made from them.
#pragma once

#include <bitdotio/field.hpp>

#include <boost/pfr/core.hpp>

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace bitdotio {

namespace wire {

template <class T>
inline constexpr bool is_tuple = false;
template <class... T>
inline constexpr bool is_tuple<std::tuple<T...>> = true;

// Types that read from one field. A composite's struct does too, but as a row means its fields.
template <class T>
concept field_value = is_optional<T> ||(
    !is_tuple<T> && requires(const field_view& field) { from_sql<T>::read(field); } &&
    !requires { from_sql<T>::is_composite; });

// Whether a T that was read refers to the result: a std::string_view, or something that has one in
// it. A from_sql says it of its own type.
template <class T>
constexpr bool refers_to_result() {
    if constexpr (is_optional<T>) {
        return refers_to_result<typename T::value_type>();
    } else if constexpr (requires { from_sql<T>::refers_to_result; }) {
        return from_sql<T>::refers_to_result;
    } else if constexpr (is_tuple<T>) {
        return []<std::size_t... I>(std::index_sequence<I...>) {
            return (refers_to_result<std::tuple_element_t<I, T>>() || ...);
        }
        (std::make_index_sequence<std::tuple_size_v<T>>());
    } else if constexpr (!field_value<T> && std::is_class_v<T> && std::is_aggregate_v<T>) {
        return []<std::size_t... I>(std::index_sequence<I...>) {
            return (refers_to_result<boost::pfr::tuple_element_t<I, T>>() || ...);
        }
        (std::make_index_sequence<boost::pfr::tuple_size_v<T>>());
    } else {
        return false;
    }
}

// The number of fields that T takes, and T made from them: `field(index)` gives each.
template <class T>
constexpr std::size_t field_count() {
    if constexpr (field_value<T>) {
        return 1;
    } else if constexpr (is_tuple<T>) {
        return std::tuple_size_v<T>;
    } else {
        static_assert(std::is_aggregate_v<T>,
                      "read a row as a tuple, an aggregate struct, or a type with a from_sql");
        return boost::pfr::tuple_size_v<T>;
    }
}

template <class T, class Fields>
T from_fields(const Fields& field) {
    if constexpr (field_value<T>) {
        return field(0).template as<T>();
    } else {
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
            if constexpr (is_tuple<T>) {
                return T{field(I).template as<std::tuple_element_t<I, T>>()...};
            } else {
                return T{field(I).template as<boost::pfr::tuple_element_t<I, T>>()...};
            }
        }
        (std::make_index_sequence<field_count<T>()>());
    }
}

}  // namespace wire

}  // namespace bitdotio
