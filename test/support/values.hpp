// Values sent through the server and read back, also random ones, and the errors of refused ones.
#pragma once

#include "support/database.hpp"

#include <bitdotio/connection.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace test {

/// Random numbers from a seed that failing checks print; TEST_SEED in the environment repeats a
/// run.
struct dice {
    std::uint64_t seed =
        std::getenv("TEST_SEED") ? std::stoull(std::getenv("TEST_SEED")) : std::random_device()();
    std::mt19937_64 engine{seed};

    /// Any number from least to most, both included.
    std::int64_t number(std::int64_t least, std::int64_t most) {
        return std::uniform_int_distribution<std::int64_t>(least, most)(engine);
    }
    bool coin() { return number(0, 1) == 1; }
    /// Text with quotes, braces, commas, backslashes, spaces and several octets a character.
    std::string text() {
        static constexpr std::string_view parts[] = {"a",  "Z", "\"", "'", "\\", "{",  "}",
                                                     ",",  " ", "(",  ")", "[",  "]",  "NULL",
                                                     "\n", "=", ">",  "ž", "🐘",  "\t", "0"};
        std::string value;
        for (auto left = number(0, 8); left > 0; --left) {
            value += parts[number(0, std::size(parts) - 1)];
        }
        return value;
    }
};

/// Sends every value as a parameter of the SQL type and reads it back, in binary and in text. The
/// text form is made by the server from the value sent, and other code reads it.
template <class T>
boost::asio::awaitable<void> round_trip(bitdotio::connection& c, std::string type,
                                        std::vector<T> values) {
    const std::string sql = "SELECT $1::" + type;
    CAPTURE(sql);
    for (const T& value : values) {
        CAPTURE(value);
        const auto binary = co_await c.query(sql, value);
        CHECK(binary.template one<std::tuple<T>>() == std::tuple<T>(value));
        const auto text = co_await c.query(bitdotio::statement(sql).text_results(), value);
        CHECK(text.template one<std::tuple<T>>() == std::tuple<T>(value));
    }
    const auto null = co_await c.query(sql, std::optional<T>());
    CHECK_FALSE(null[0][0].template as<std::optional<T>>());
}

/// Compares what is sent and what is read with the server's own text: `text` is exactly what the
/// server writes. Awaited in place.
template <class T>
boost::asio::awaitable<void> same_as_text(bitdotio::connection& c, std::string type, const T& value,
                                          std::string text) {
    CAPTURE(type);
    CAPTURE(text);
    const std::string there = "SELECT ($1::" + type + ")::text";
    const auto sent = co_await c.query(there, value);
    CHECK(sent[0][0].template as<std::string>() == text);
    const std::string back = "SELECT $1::text::" + type;
    const auto binary = co_await c.query(back, text);
    CHECK(binary[0][0].is_binary());
    CHECK(binary[0][0].template as<T>() == value);
    const auto in_text = co_await c.query(bitdotio::statement(back).text_results(), text);
    CHECK_FALSE(in_text[0][0].is_binary());
    CHECK(in_text[0][0].template as<T>() == value);
}

/// The error of reading the first field as T.
template <class T>
bitdotio::error refusal(const bitdotio::result& answer) {
    try {
        answer[0][0].as<T>();
    } catch (const bitdotio::error& failure) {
        return failure;
    }
    FAIL("it was read");
    throw std::logic_error("unreachable");
}

/// Whether the error has that code and its text contains each of the words.
inline bool says(const bitdotio::error& failure, bitdotio::errc code,
                 std::initializer_list<std::string_view> words) {
    const std::string_view text = failure.what();
    INFO(text);
    bool well = failure.code() == code;
    for (const std::string_view word : words) {
        CAPTURE(word);
        const bool said = text.find(word) != text.npos;
        CHECK(said);
        well = well && said;
    }
    CHECK(failure.code() == code);
    return well;
}

/// The error of binding a value.
template <class T>
bitdotio::error binding_refusal(const T& value) {
    try {
        bitdotio::params bound(value);
    } catch (const bitdotio::error& failure) {
        return failure;
    }
    FAIL("it was bound");
    throw std::logic_error("unreachable");
}

}  // namespace test
