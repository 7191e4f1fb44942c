// COPY: rows in bulk, into a table and out of one, as bytes or as typed rows.
#pragma once

#include <bitdotio/named.hpp>
#include <bitdotio/open_part.hpp>
#include <bitdotio/params.hpp>
#include <bitdotio/row_plan.hpp>
#include <bitdotio/shape.hpp>

#include <boost/asio/awaitable.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

namespace wire {

// The type that a column of a binary COPY is taken for: what the C++ type binds as.
template <class T>
constexpr oid copied_type() {
    if constexpr (is_optional<T>) {
        return copied_type<typename T::value_type>();
    } else {
        return to_sql<T>::type == oids::unspecified ? oids::text : to_sql<T>::type;
    }
}

template <class T>
constexpr column copied_column() {
    constexpr oid type = copied_type<T>();
    return {"of the COPY", type, true, form_of(type, true)};
}

template <class T>
constexpr auto copied_columns() {
    return []<std::size_t... I>(std::index_sequence<I...>) {
        if constexpr (field_value<T>) {
            return std::array<column, 1>{copied_column<T>()};
        } else if constexpr (is_tuple<T>) {
            return std::array<column, sizeof...(I)>{copied_column<std::tuple_element_t<I, T>>()...};
        } else {
            return std::array<column, sizeof...(I)>{
                copied_column<boost::pfr::tuple_element_t<I, T>>()...};
        }
    }
    (std::make_index_sequence<field_count<T>()>());
}

// Appends a field of a binary COPY as params bind it: the four octets of its size, then its value.
//
// Errors: errc::bad_input as of params, with its number. The rows are to be cut off again then.
template <class T>
void add_field(std::string& rows, const T& value, std::size_t number) {
    if constexpr (null_constant<T>) {
        put(rows, std::uint32_t{0xffff'ffff});
    } else if constexpr (!bindable<without_optional<T>>) {
        require_bindable<T>();
    } else if constexpr (is_optional<T>) {
        if (value) {
            add_field(rows, *value, number);
        } else {
            put(rows, std::uint32_t{0xffff'ffff});
        }
    } else {
        const std::size_t begin = rows.size() + 4;
        rows.append(4, '\0');
        to_sql<T>::write(value, rows);
        check_value(std::string_view(rows).substr(begin), to_sql<T>::binary, number);
        set_length(rows, begin - 4);
    }
}

}  // namespace wire

/// How a COPY writes its rows: text and CSV are lines, binary is PostgreSQL's own.
enum class copy_format { text, binary };

/// COPY … FROM STDIN: rows into a table.
///
/// Others see nothing until `finish` returned. If it is dropped before, the server undoes all of
/// it, and the connection is clean again before anyone else uses it.
///
/// Thread safety: as its connection: from any thread, one operation at a time.
/// See: PostgreSQL manual, SQL command COPY; 55.2.6 "COPY Operations".
class copy_in {
public:
    /// No COPY: every use fails with errc::protocol_violated, as of one moved from.
    copy_in() noexcept = default;
    /// Made by copy_from.
    copy_in(wire::open_part<postgres_session> stream, copy_format format) noexcept;

    /// Writes bytes in the format of the statement; they may end anywhere. Returns when they are
    /// sent, so that a slow server slows the writer down.
    ///
    /// Errors: errc::connection_lost, timeout, cancelled: nothing was copied. Malformed data is
    ///     reported by `finish` at the latest.
    /// Cancellation: terminal, partial, total; the COPY is undone, the connection stays usable.
    asio::awaitable<void> write(std::string data);

    /// Writes one row of a binary COPY, bound as params; strings only into columns whose binary
    /// form is their text. Rows are collected, and sent about 64 KiB at a time.
    ///
    /// Errors: errc::bad_input if the COPY is not binary; those of `write`.
    /// Cancellation: as `write`.
    template <class... Values>
    asio::awaitable<void> write_row(const Values&... values) {
        const std::size_t before = begin_row(sizeof...(Values));
        try {
            std::size_t number = 0;
            (wire::add_field(rows_, values, ++number), ...);
        } catch (...) {
            rows_.resize(before);
            throw;
        }
        return send_rows(about);
    }
    asio::awaitable<void> write_row(const params& values) {
        add_row(values);
        return send_rows(about);
    }
    template <class... Values>
        requires wire::with_temporary_aggregate<Values...> asio::awaitable<void> write_row(
            Values&&... values) {
            wire::refuse_temporary_aggregate<Values...>();
            return write_row(std::as_const(values)...);
        }

    /// Ends the COPY and returns the number of rows copied.
    ///
    /// Errors: errc::query_failed with the server's fields (`server().context` names the line);
    ///     nothing was copied then. errc::connection_lost with outcome::unknown, or not_executed
    ///     if the connection was seen to be dead before its end was sent.
    /// Cancellation: terminal, partial, total; the COPY is undone, unless it had ended already:
    ///     then `outcome()` is executed.
    asio::awaitable<std::uint64_t> finish();

    /// Gives the COPY up: nothing was copied. The server's log shows `reason`.
    ///
    /// Errors: errc::connection_lost, timeout, cancelled: nothing was copied then either.
    ///     errc::bad_input for a reason with a zero byte; the COPY is open still.
    /// Cancellation: terminal, partial, total; the COPY is given up all the same.
    asio::awaitable<void> cancel(std::string reason);

private:
    static constexpr std::size_t about = 65'536;

    asio::awaitable<void> send(std::string data);
    void begin_rows();
    std::size_t begin_row(std::size_t columns);
    void add_row(const params& row);
    asio::awaitable<void> send_rows(std::size_t at_least);

    wire::open_part<postgres_session> stream_;
    copy_format format_ = copy_format::text;
    std::string rows_;             // of write_row, not yet sent
    bool header_written_ = false;  // by us
    bool bytes_written_ = false;   // by the caller, who writes header and end too
};

/// COPY … TO STDOUT: rows out of a table or a query.
///
/// Bytes are read from the network when they are asked for: memory holds about one piece. If it is
/// dropped midway, the statement is stopped on the server before anyone else uses the connection.
///
/// Thread safety: as its connection: from any thread, one operation at a time.
class copy_out {
public:
    /// No COPY: every use fails with errc::protocol_violated, as of one moved from.
    copy_out() noexcept = default;
    /// Made by copy_to.
    copy_out(wire::open_part<postgres_session> stream, copy_format format) noexcept;

    /// The next bytes in the format of the statement: whole rows, at least one, up to about 64 KiB
    /// of those that have come. Nothing at the end, and again after it.
    ///
    /// Errors: those of connection::query, also after bytes have been delivered: only the end means
    ///     that all bytes came.
    /// Cancellation: terminal, partial, total; the COPY is stopped, the connection stays usable.
    asio::awaitable<std::optional<std::string>> next();

    /// The next row of a binary COPY as a tuple, a struct or its only value; nothing at the end.
    /// Do not mix it with `next`.
    ///
    /// The format does not tell types: each column must have the type its C++ type binds as (see
    /// docs/types.md), for strings a type whose binary form is its text. Views into the row live
    /// until the next call.
    ///
    /// Errors: errc::bad_input if the COPY is not binary; errc::unexpected_shape if the row has
    ///     another number of columns; errc::wrong_type and unexpected_null, after which the
    ///     stream goes on with the next row; those of `next`.
    /// Cancellation: as `next`.
    template <class T>
    asio::awaitable<std::optional<T>> next_row() {
        constexpr std::size_t count = wire::field_count<T>();
        if (!has_rows()) {
            const bool there = co_await load_rows();
            if (!there) {
                co_return std::nullopt;
            }
        }
        const bool is_last = !take_row(count);
        if (is_last) {
            co_await expect_end();
            co_return std::nullopt;
        }
        static constexpr auto columns = wire::copied_columns<T>();
        const wire::row_shape shape{columns.data(), count, nullptr};
        co_return wire::read_row<T>(shape, fields_.data(), row_ - 1);
    }

private:
    bool has_rows() const noexcept { return at_ < piece_.size(); }
    asio::awaitable<bool> load_rows();
    bool take_row(std::size_t columns);
    asio::awaitable<void> expect_end();
    void take_header();
    std::string_view take(std::size_t size);

    wire::open_part<postgres_session> stream_;
    copy_format format_ = copy_format::text;
    bool over_ = false;    // read to its end, or failed
    std::string piece_;    // whole rows, from which next_row reads
    std::size_t at_ = 0;   // after the row that was read last
    std::size_t row_ = 0;  // rows read
    bool header_taken_ = false;
    std::vector<wire::cell> fields_;  // of that row, in piece_
};

}  // namespace bitdotio
