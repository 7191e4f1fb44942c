// Composite types of the database as structs and tuples, by Boost.PFR.
#pragma once

#include <bitdotio/field.hpp>
#include <bitdotio/shape.hpp>
#include <bitdotio/to_sql.hpp>

#include <boost/pfr/core.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

namespace bitdotio {

/// The fields of a composite as the server sent them, in order.
///
/// Thread safety: one thread at a time, because `next` moves on; the result is only read.
/// Lifetime: refers to the result of its field.
class composite_view {
public:
    /// Parameters: `wanted` is named in errors as the C++ type.
    /// Errors: errc::wrong_type if the field is not a composite.
    explicit composite_view(const field_view& field,
                            std::string_view wanted = "bitdotio::composite_view");

    std::size_t size() const noexcept { return size_; }
    /// The next field, `size()` times. What it refers to may live in this view.
    field_view next();

private:
    field_view field_;
    std::string_view wanted_;
    std::size_t size_ = 0;
    std::size_t at_ = 0;  // binary: an offset into the data; text: an index into texts_
    std::vector<std::optional<std::string>> texts_;
};

namespace wire {

// An aggregate of no other kind: std::array has a tuple_size, strings convert.
template <class T>
concept composite_struct = std::is_class_v<T> && std::is_aggregate_v<T> && !requires {
    std::tuple_size<T>::value;
}
&&!std::is_convertible_v<const T&, std::string_view>;
template <class T>
concept composite = composite_struct<T> || is_tuple<T>;

error wrong_field_count(const field_view& field, std::size_t size, std::size_t expected,
                        std::string_view wanted);
// Quotes the field of a text form that was appended since `offset`.
void quote_composite_field(std::string& out, std::size_t offset);

template <class T>
void write_composite_field(const T& value, std::string& out) {
    if constexpr (is_optional<T>) {
        if (value) {
            write_composite_field(*value, out);
        }
    } else {
        const std::size_t offset = out.size();
        write_text(value, out);
        quote_composite_field(out, offset);
    }
}

}  // namespace wire

/// An aggregate struct or a std::tuple binds as a composite, with fields in the order of the
/// type's. It travels as text, so that the server converts every field to what the type says.
template <wire::composite T>
struct to_sql<T> {
    static constexpr oid type = oids::unspecified;  // differs from database to database
    static constexpr bool binary = false;
    static void write(const T& value, std::string& out) {
        char before = '(';
        const auto write_field = [&](const auto& field) {
            out.push_back(before);
            wire::write_composite_field(field, out);
            before = ',';
        };
        if constexpr (wire::is_tuple<T>) {
            std::apply([&](const auto&... field) { (write_field(field), ...); }, value);
        } else {
            boost::pfr::for_each_field(value, write_field);
        }
        out.push_back(')');
    }
};

/// Composites, and what ROW(…) makes, read into structs and tuples, by position.
///
/// As the type of a whole row, a struct or tuple still means the row's columns: to read a row's
/// only column, use `row[0].as<T>()` or `as<std::tuple<T>>()`.
///
/// Errors: errc::wrong_type if the numbers of fields differ; what the fields throw.
template <wire::composite T>
struct from_sql<T> {
    static constexpr bool is_composite = true;

    static T read(const field_view& field) {
        constexpr std::string_view wanted = wire::cpp_name<T>();
        composite_view fields(field, wanted);
        if (fields.size() != wire::field_count<T>()) {
            throw wire::wrong_field_count(field, fields.size(), wire::field_count<T>(), wanted);
        }
        return wire::from_fields<T>([&](std::size_t) { return fields.next(); });
    }
};

}  // namespace bitdotio
