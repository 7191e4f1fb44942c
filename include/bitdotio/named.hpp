// Parameters by name: `:id` in the statement, named("id", 5) among the values.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/params.hpp>
#include <bitdotio/statement.hpp>

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace bitdotio {

/// A value with the name that stands for it in the statement. Made by `named`.
///
/// Thread safety: a value.
/// Lifetime: refers to name and value; use it only in the call it is made for.
template <class T>
class named_value {
public:
    named_value(std::string_view name, const T& value) noexcept : name_(name), value_(&value) {}
    std::string_view name() const noexcept { return name_; }
    const T& value() const noexcept { return *value_; }

private:
    std::string_view name_;
    const T* value_;
};

namespace wire {

// A temporary aggregate whose members have destructors: std::array<std::string, N>, your structs.
template <class T>
concept temporary_aggregate = !std::is_lvalue_reference_v<T> && std::is_aggregate_v<T> &&
                              std::is_class_v<T> && !std::is_trivially_destructible_v<T>;
template <class... T>
concept with_temporary_aggregate = (temporary_aggregate<T> || ...);

// Stands in the body of an overload for those.
template <class... T>
constexpr void refuse_temporary_aggregate() {
    static_assert(never<T...>,
                  "name this struct or std::array on the line before, and pass the name: g++ "
                  "destroys such a temporary twice inside a co_await expression");
}

}  // namespace wire

/// Binds a value by name: `c.query("SELECT … WHERE id = :id", named("id", 5))`.
///
/// A name may occur several times. Text within quotes, dollar quotes and comments, casts (`::`),
/// `:=` and array slices are left alone: within brackets, what follows a name, a number or a
/// closing bracket is a slice's bound. Named and numbered values do not mix.
template <class T>
named_value<T> named(std::string_view name, const T& value) noexcept {
    return {name, value};
}

template <wire::temporary_aggregate T>
named_value<T> named(std::string_view name, T&& value) {
    wire::refuse_temporary_aggregate<T>();
    return {name, value};
}

/// The statement with `:name` replaced by `$n`, where n is the name's place in `names`, from 1.
///
/// Errors: errc::bad_input naming a name of the statement without a value, or a value whose name
///     the statement does not have, or that is given twice.
statement number_parameters(statement sql, std::initializer_list<std::string_view> names);

/// The greatest n of the parameters `$n` in a statement, 0 if it has none; nothing if that cannot
/// be told without knowing what standard_conforming_strings is.
std::optional<std::size_t> greatest_parameter(std::string_view sql);

namespace wire {

template <class T>
struct is_named : std::false_type {};
template <class T>
struct is_named<named_value<T>> : std::true_type {};

// The error of a value that could not be bound, of which nothing was sent.
error not_bound(const error& failure);
// Errors: errc::bad_input if the statement takes less than so many.
void check_count(std::string_view sql, std::size_t given);
// The same, but where the text has the last of them somewhere, which a look tells, that is taken
// for granted: whoever sends a text for the first time checks it for certain.
void check_count_early(std::string_view sql, std::size_t given);

// A statement and its values, ready to be sent.
class bound {
public:
    template <class... Values>
    explicit bound(statement text, const Values&... given) : sql(std::move(text)) {
        try {
            bind(given...);
        } catch (const error& failure) {
            throw not_bound(failure);
        }
    }

    statement sql;
    params values;

private:
    template <class... Values>
    void bind(const Values&... given) {
        if constexpr ((is_named<Values>::value || ...)) {
            static_assert((is_named<Values>::value && ...),
                          "give all values by name or none: named(\"a\", 1)");
            sql = number_parameters(std::move(sql), {given.name()...});
            (values.add(given.value()), ...);
        } else {
            if constexpr (sizeof...(Values) > 0) {
                check_count_early(sql.sql(), sizeof...(Values));
            }
            (values.add(given), ...);
        }
    }
};

}  // namespace wire

}  // namespace bitdotio
