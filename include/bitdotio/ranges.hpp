// Ranges and multiranges, bound and read.
#pragma once

#include <bitdotio/field.hpp>
#include <bitdotio/shape.hpp>
#include <bitdotio/to_sql.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdotio {

/// The value of a range: what lies between two bounds, each of which may be missing or excluded.
///
/// The server rewrites ranges of integers and dates so that the lower bound is included and the
/// upper is not: [1,3] comes back as [1,4).
///
/// Thread safety: a value.
// Not an aggregate, on purpose: see pool_options.hpp.
template <class T>
struct range {
    range() = default;
    explicit range(std::optional<T> lower_) : lower(std::move(lower_)) {}
    range(std::optional<T> lower_, std::optional<T> upper_, bool includes_lower_ = true,
          bool includes_upper_ = false, bool is_empty_ = false)
        : lower(std::move(lower_)),
          upper(std::move(upper_)),
          includes_lower(includes_lower_),
          includes_upper(includes_upper_),
          is_empty(is_empty_) {}

    std::optional<T> lower;  ///< nothing: no bound
    std::optional<T> upper;
    bool includes_lower = true;
    bool includes_upper = false;
    bool is_empty = false;  ///< holds nothing at all; then the bounds have no meaning

    static range empty() {
        range value;
        value.is_empty = true;
        return value;
    }

    friend bool operator==(const range& left, const range& right) {
        if (left.is_empty || right.is_empty) {
            return left.is_empty == right.is_empty;
        }
        return left.lower == right.lower && left.upper == right.upper &&
               (!left.lower || left.includes_lower == right.includes_lower) &&
               (!left.upper || left.includes_upper == right.includes_upper);
    }
};

/// The value of a multirange. The server sorts and joins its ranges, and drops empty ones.
///
/// Thread safety: a value.
template <class T>
struct multirange {
    multirange() = default;
    multirange(std::vector<range<T>> ranges_) : ranges(std::move(ranges_)) {}
    /// Of the ranges one by one, for where a braced list cannot stand: g++ 12 compiles none inside
    /// a co_await expression.
    template <std::same_as<range<T>>... Ranges>
        requires(sizeof...(Ranges) > 0)
    explicit multirange(const Ranges&... ranges_) : ranges{ranges_...} {}

    std::vector<range<T>> ranges;

    friend bool operator==(const multirange&, const multirange&) = default;
};

// The parts of a range that need no template are in ranges.cpp.
namespace wire {

struct range_form {
    bool empty = false;
    bool includes_lower = false;
    bool includes_upper = false;
    std::optional<std::string_view> lower;
    std::optional<std::string_view> upper;
    std::string unescaped_lower;  // where a text form keeps them
    std::string unescaped_upper;
};
// Fills in `form`, which must not be moved afterwards.
void read_range(const field_view& field, std::string_view wanted, range_form& form);
// The type of a range's bounds, and the range of a multirange.
oid bound_type(const field_view& field);
oid range_type(const field_view& field);
// The ranges of a multirange, each in the field's form.
std::vector<std::string_view> read_multirange(const field_view& field, std::string_view wanted);
char range_flags(bool empty, bool lower, bool upper, bool includes_lower, bool includes_upper);
// Quotes the bound of a text form that was appended since `offset`.
void quote_bound(std::string& out, std::size_t offset);

template <class T>
void write_bound(const std::optional<T>& value, std::string& out) {
    if (value) {
        const std::size_t offset = out.size();
        out.append(4, '\0');
        to_sql<T>::write(*value, out);
        set_length(out, offset);
    }
}

template <class T>
void write_text_bound(const std::optional<T>& value, std::string& out) {
    if (value) {
        const std::size_t offset = out.size();
        write_text(*value, out);
        quote_bound(out, offset);
    }
}

}  // namespace wire

/// Ranges of int, std::int64_t, decimal, timestamp, timestamptz and date bind as the type of that
/// name, others as text whose type the server infers.
template <class T>
    requires wire::bindable<T>
struct to_sql<range<T>> {
    static constexpr oid type = range_of(to_sql<T>::type);
    static constexpr bool binary = to_sql<T>::binary && type != oids::unspecified;

    static void write(const range<T>& value, std::string& out) {
        if constexpr (binary) {
            out.push_back(wire::range_flags(value.is_empty, value.lower.has_value(),
                                            value.upper.has_value(), value.includes_lower,
                                            value.includes_upper));
            if (!value.is_empty) {
                wire::write_bound(value.lower, out);
                wire::write_bound(value.upper, out);
            }
        } else {
            write_text(value, out);
        }
    }
    static void write_text(const range<T>& value, std::string& out) {
        if (value.is_empty) {
            out += "empty";
            return;
        }
        out.push_back(value.includes_lower ? '[' : '(');
        wire::write_text_bound(value.lower, out);
        out.push_back(',');
        wire::write_text_bound(value.upper, out);
        out.push_back(value.includes_upper ? ']' : ')');
    }
};

/// Errors: errc::wrong_type also for a range type of the database's own in binary where the session
///     does not know it, as in a stream: ask for text with statement::text_results.
template <class T>
struct from_sql<range<T>> {
    static constexpr bool refers_to_result = wire::refers_to_result<T>();

    static range<T> read(const field_view& field) {
        wire::range_form form;
        wire::read_range(field, wire::cpp_name<range<T>>(), form);
        if (form.empty) {
            return range<T>::empty();
        }
        range<T> value;
        const oid type = wire::bound_type(field);
        if (form.lower) {
            value.lower = field.inner(type, form.lower, field.is_binary()).template as<T>();
        }
        if (form.upper) {
            value.upper = field.inner(type, form.upper, field.is_binary()).template as<T>();
        }
        value.includes_lower = form.includes_lower;
        value.includes_upper = form.includes_upper;
        return value;
    }
};

template <class T>
    requires wire::bindable<T>
struct to_sql<multirange<T>> {
    using element = to_sql<range<T>>;
    static constexpr oid type = multirange_of(element::type);
    static constexpr bool binary = element::binary && type != oids::unspecified;

    static void write(const multirange<T>& value, std::string& out) {
        if constexpr (binary) {
            wire::put(out, static_cast<std::uint32_t>(value.ranges.size()));
            for (const range<T>& one : value.ranges) {
                const std::size_t offset = out.size();
                out.append(4, '\0');
                element::write(one, out);
                wire::set_length(out, offset);
            }
        } else {
            write_text(value, out);
        }
    }
    static void write_text(const multirange<T>& value, std::string& out) {
        out.push_back('{');
        for (std::size_t i = 0; i < value.ranges.size(); ++i) {
            if (i > 0) {
                out.push_back(',');
            }
            element::write_text(value.ranges[i], out);
        }
        out.push_back('}');
    }
};

template <class T>
struct from_sql<multirange<T>> {
    static constexpr bool refers_to_result = wire::refers_to_result<T>();

    static multirange<T> read(const field_view& field) {
        multirange<T> value;
        const oid type = wire::range_type(field);
        for (const std::string_view part :
             wire::read_multirange(field, wire::cpp_name<multirange<T>>())) {
            value.ranges.push_back(from_sql<range<T>>::read(field.inner(type, part)));
        }
        return value;
    }
};

}  // namespace bitdotio
