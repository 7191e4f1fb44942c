// Parameters by name: `:id` in the statement, named("id", 5) among the values.
#pragma once

#include <bitdotio/params.hpp>
#include <bitdotio/statement.hpp>

#include <initializer_list>
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

/// Binds a value by name: `c.query("SELECT … WHERE id = :id", named("id", 5))`.
///
/// A name may occur several times. Text within quotes, dollar quotes and comments, casts (`::`),
/// `:=` and array slices are left alone. Named and numbered values do not mix.
template <class T>
named_value<T> named(std::string_view name, const T& value) noexcept {
    return {name, value};
}

/// The statement with `:name` replaced by `$n`, where n is the name's place in `names`, from 1.
///
/// Errors: errc::bad_input naming a name of the statement without a value, or a value whose name
///     the statement does not have, or that is given twice.
statement number_parameters(statement sql, std::initializer_list<std::string_view> names);

namespace wire {

template <class T>
struct is_named : std::false_type {};
template <class T>
struct is_named<named_value<T>> : std::true_type {};

// A statement and its values, ready to be sent.
class bound {
public:
    template <class... Values>
    explicit bound(statement text, const Values&... given) : sql(std::move(text)) {
        if constexpr ((is_named<Values>::value || ...)) {
            static_assert((is_named<Values>::value && ...),
                          "give all values by name or none: named(\"a\", 1)");
            sql = number_parameters(std::move(sql), {given.name()...});
            (values.add(given.value()), ...);
        } else {
            (values.add(given), ...);
        }
    }

    statement sql;
    params values;
};

}  // namespace wire

}  // namespace bitdotio
