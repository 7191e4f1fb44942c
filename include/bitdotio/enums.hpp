// Enums of the database as C++ enums.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/field.hpp>
#include <bitdotio/to_sql.hpp>

#include <string>
#include <string_view>
#include <type_traits>

namespace bitdotio {

/// One value of an enum, and its label in the database.
///
/// Thread safety: a value.
template <class E>
struct enum_label {
    E value;
    std::string_view label;
};

/// Makes a C++ enum a type of the database: specialise it with all labels.
///
///     enum class mood { sad, happy };
///     template <>
///     struct bitdotio::enum_labels<mood> {
///         static constexpr enum_label<mood> values[] = {{mood::sad, "sad"}, {mood::happy,
///         "happy"}};
///     };
///
/// Errors: errc::wrong_type on reading a label that is not listed, errc::bad_input on binding a
///     value that is not listed.
template <class E>
struct enum_labels;

namespace wire {
template <class E>
concept labelled_enum = std::is_enum_v<E> && requires {
    enum_labels<E>::values;
};

std::string_view read_label(const field_view& field, std::string_view wanted);
error unknown_label(const field_view& field, std::string_view wanted);
error no_label(long long value, std::string_view type);
}  // namespace wire

template <wire::labelled_enum E>
struct to_sql<E> {
    static constexpr oid type =
        oids::unspecified;  // an enum's number differs from database to database
    static constexpr bool binary = false;
    static void write(E value, std::string& out) {
        for (const auto& known : enum_labels<E>::values) {
            if (known.value == value) {
                out += known.label;
                return;
            }
        }
        throw wire::no_label(static_cast<long long>(value), wire::cpp_name<E>());
    }
};

template <wire::labelled_enum E>
struct from_sql<E> {
    static E read(const field_view& field) {
        const std::string_view label = wire::read_label(field, wire::cpp_name<E>());
        for (const auto& known : enum_labels<E>::values) {
            if (known.label == label) {
                return known.value;
            }
        }
        throw wire::unknown_label(field, wire::cpp_name<E>());
    }
};

}  // namespace bitdotio
