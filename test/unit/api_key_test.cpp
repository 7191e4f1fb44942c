// API keys: which are accepted, and that no text reveals one.
#include <bitdotio/api_key.hpp>
#include <bitdotio/error.hpp>

#include "support/environment.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

namespace {

using bitdotio::api_key;
using bitdotio::errc;
using bitdotio::error;
using test::scoped_variable;

// The message for a text that is not a key; empty if it is one.
std::string complaint(std::string_view text) {
    try {
        const api_key key(text);
    } catch (const error& failure) {
        CHECK(failure.code() == errc::bad_input);
        return failure.what();
    }
    return "";
}

TEST_CASE("a key is \"v2_\" and letters, digits and underscores") {
    for (const std::string text :
         {"v2_a", "v2_0", "v2__", "v2_3tzAFkdUVqzk4hzW7hQZY5G8RpLQ9", "v2_v2_"}) {
        CAPTURE(text);
        CHECK(api_key(text).reveal() == text);
    }
}

TEST_CASE("what has another form is refused") {
    using namespace std::string_literals;
    const std::string table[] = {"",     "v2",       "v2_",     "v2_a ",       " v2_a",  "V2_a",
                                 "v1_a", "v2-a",     "v2_a-b",  "v2_a.b",      "v2_a\n", "secret",
                                 "v2_é", "v2_a\0b"s, "v2_a\0"s, "Bearer v2_a", "xv2_a",  "v2_a/b"};
    for (const std::string& text : table) {
        CAPTURE(text);
        CHECK_FALSE(complaint(text).empty());
    }
}

TEST_CASE("the refusal says what a key looks like and never repeats what was given") {
    const std::string said = complaint("v2_sesame open");
    CHECK(said.find("v2_") != std::string::npos);
    CHECK(said.find("sesame") == std::string::npos);
    CHECK(complaint("hunter2") == said);
}

TEST_CASE("a printed key shows none of its characters") {
    std::ostringstream out;
    out << api_key("v2_sesame");
    CHECK(out.str() == "v2_…");
}

TEST_CASE("keys are equal if all of their characters are") {
    const api_key key("v2_abc");
    CHECK(key == api_key("v2_abc"));
    for (const std::string other : {"v2_abd", "v2_bbc", "v2_ab", "v2_abcd", "v2_ABC"}) {
        CAPTURE(other);
        CHECK(key != api_key(other));
    }
}

TEST_CASE("a copy is a key of its own") {
    const std::string text = "v2_" + std::string(100, 'k');
    api_key first(text);
    api_key second = first;
    CHECK(second.reveal().data() != first.reveal().data());
    first = api_key("v2_other");
    CHECK(second.reveal() == text);
    second = first;
    CHECK(second.reveal() == "v2_other");
    const api_key& itself = second;
    second = itself;
    CHECK(second.reveal() == "v2_other");
}

TEST_CASE("a key that was moved away leaves no character behind") {
    for (const std::size_t length : {3, 100}) {  // within the string object, and on the heap
        const std::string text = "v2_" + std::string(length, 'k');
        api_key first(text);
        const char* room = first.reveal().data();
        api_key second = std::move(first);
        CHECK(second.reveal() == text);
        CHECK(first.reveal().empty());
        CHECK(std::string(room, text.size()) == std::string(text.size(), '\0'));
        first = std::move(second);
        CHECK(first.reveal() == text);
        CHECK(second.reveal().empty());
    }
}

TEST_CASE("the environment gives a key, or an error that names the variable") {
    {
        const scoped_variable set("BITIO_KEY", "v2_fromoutside");
        CHECK(api_key::from_environment().reveal() == "v2_fromoutside");
    }
    for (const auto& nothing : {std::optional<std::string>(), std::optional<std::string>("")}) {
        const scoped_variable unset("BITIO_KEY", nothing);
        try {
            api_key::from_environment();
            FAIL("there is no key");
        } catch (const error& failure) {
            CHECK(failure.code() == errc::bad_input);
            CHECK(std::string(failure.what()).find("BITIO_KEY") != std::string::npos);
        }
    }
    const scoped_variable wrong("BITIO_KEY", "hunter2");
    CHECK_THROWS_AS(api_key::from_environment(), error);
}

}  // namespace
