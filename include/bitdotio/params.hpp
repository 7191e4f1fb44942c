// Bound parameters: what $1, $2, … of a statement stand for.
#pragma once

#include <bitdotio/to_sql.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace bitdotio {

/// The values of a statement's parameters, in order.
///
/// Values are copied in their wire form, so nothing must outlive the call. They travel apart from
/// the SQL: no quoting, no injection. How types bind:
///
/// | C++                               | PostgreSQL                                      |
/// |-----------------------------------|-------------------------------------------------|
/// | bool                              | boolean                                         |
/// | integers up to 64 bits            | smallint, integer, bigint, whichever fits the C++ type |
/// | float, double                     | real, double precision                          |
/// | strings, `char`                   | text the server reads as whatever type it infers |
/// | bytes                             | bytea                                           |
/// | timestamptz, timestamp, uuid      | the type of that name                           |
/// | std::optional<T>                  | as T, or NULL                                   |
/// | nullptr, std::nullopt             | NULL                                            |
///
/// Dates and intervals, arrays, ranges, composites, enums and others have headers of their own:
/// see docs/types.md.
///
/// Thread safety: a value.
class params {
public:
    params() = default;

    /// Binds the values to $1, $2, …
    ///
    /// Errors: errc::bad_input for a std::uint64_t above the range of bigint, a string that
    ///     contains a zero byte, a value over 1 GiB.
    template <class... Values>
        requires(sizeof...(Values) > 0 &&
                 !(sizeof...(Values) == 1 && (std::is_same_v<Values, params> && ...)))
    explicit params(const Values&... values) {
        entries_.reserve(sizeof...(Values));
        (add(values), ...);
    }

    /// Binds one more value.
    template <class T>
    void add(const T& value);
    /// Binds NULL, of a type the server infers unless it is given.
    void add_null(oid type = oids::unspecified);

    std::size_t size() const noexcept { return entries_.size(); }
    bool empty() const noexcept { return entries_.empty(); }

    /// The value bound at an index, as it is sent to the server.
    oid type(std::size_t index) const { return entries_[index].type; }
    bool is_binary(std::size_t index) const { return entries_[index].binary; }
    bool is_null(std::size_t index) const { return entries_[index].null; }
    std::string_view value(std::size_t index) const;

private:
    struct entry {
        oid type;
        bool binary;
        bool null;
        std::size_t offset;
        std::size_t size;
    };

    // Ends the value that was appended to buffer_ since `offset`; a text one gets its zero byte.
    void finish(oid type, bool binary, std::size_t offset);

    std::string buffer_;
    std::vector<entry> entries_;
};

namespace wire {
template <class T>
concept null_constant = std::is_same_v<T, std::nullptr_t> || std::is_same_v<T, std::nullopt_t>;

// Says what to do about a type that cannot be bound.
template <class T>
constexpr void require_bindable() {
    static_assert(bindable<without_optional<T>>,
                  "values of this C++ type cannot be bound: include the header that "
                  "docs/types.md names for it (bitdotio/calendar.hpp, arrays.hpp, "
                  "composites.hpp, …), or give it a bitdotio::to_sql");
}

[[noreturn]] void refuse_value(std::string_view value, std::size_t number);

// Errors: errc::bad_input for the value of $number if PostgreSQL takes no value like that.
inline void check_value(std::string_view value, bool binary, std::size_t number) {
    // PostgreSQL takes no field above 1 GiB, and libpq measures in int.
    constexpr std::size_t most = std::size_t{1} << 30;
    if (value.size() > most || (!binary && value.find('\0') != std::string_view::npos)) {
        refuse_value(value, number);
    }
}
}  // namespace wire

template <class T>
void params::add(const T& value) {
    if constexpr (wire::null_constant<T>) {
        add_null();
    } else if constexpr (!wire::bindable<wire::without_optional<T>>) {
        wire::require_bindable<T>();
    } else if constexpr (wire::is_optional<T>) {
        if (value) {
            add(*value);
        } else {
            add_null(to_sql<typename T::value_type>::type);
        }
    } else {
        const std::size_t offset = buffer_.size();
        to_sql<T>::write(value, buffer_);
        finish(to_sql<T>::type, to_sql<T>::binary, offset);
    }
}

}  // namespace bitdotio
