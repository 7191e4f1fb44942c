// JSON as text: fields cut out, texts laid out, digits unchanged.
#include "service/json_text.hpp"
#include "service/json_fields.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

using bitdotio::api::indented;
using bitdotio::api::malformed_body;
using bitdotio::api::text_of;

TEST_CASE("a field is found with every digit and character it was written with") {
    struct row {
        std::string object;
        std::string text;
    };
    const row table[] = {
        {R"({"data":[]})", "[]"},
        {R"({"data":[[12345678901234567890123,1.10,1e400]]})",
         "[[12345678901234567890123,1.10,1e400]]"},
        {R"( { "a" : 1 , "data" : [ 1 , 2 ] , "b" : 2 } )", "[ 1 , 2 ]"},
        {"{\"data\"\n:\t7\r\n}", "7"},
        {R"({"data":"a,b}:\"]\\"})", R"("a,b}:\"]\\")"},
        {R"({"a":{"data":1},"data":{"a":[{"b":"}"}]}})", R"({"a":[{"b":"}"}]})"},
        {R"({"a":"data","b":["data",1],"data":null})", "null"},
        {R"({"data":1,"data":2})", "2"},
        {R"({"\"data":1,"data\\":2,"data":3})", "3"},
    };
    for (const row& one : table) {
        CAPTURE(one.object);
        CHECK(text_of(one.object, "data") == one.text);
    }
}

TEST_CASE("a field that is not there, or not by that spelling, has no text") {
    for (const std::string object : {R"({})", R"({"dat":1,"data2":2})", R"({"a":{"data":1}})",
                                     R"({"a":"data"})", R"({"d\u0061ta":1})"}) {
        CAPTURE(object);
        CHECK(text_of(object, "data").empty());
    }
}

TEST_CASE("indentation adds lines and spaces and changes nothing else") {
    struct row {
        std::string json;
        std::string laid_out;
    };
    const row table[] = {
        {"null", "null"},
        {R"( "a b" )", R"("a b")"},
        {"[ ]", "[]"},
        {"{ }", "{}"},
        {"[1,[],{}]", "[\n  1,\n  [],\n  {}\n]"},
        {R"({"a":{"b":[true, false]},"c":-1.50})",
         "{\n  \"a\": {\n    \"b\": [\n      true,\n      false\n    ]\n  },\n  \"c\": -1.50\n}"},
        {R"(["\"[{,:\\", "é"])", "[\n  \"\\\"[{,:\\\\\",\n  \"é\"\n]"},
        {"[12345678901234567890123]", "[\n  12345678901234567890123\n]"},
    };
    for (const row& one : table) {
        CAPTURE(one.json);
        CHECK(indented(one.json) == one.laid_out);
        CHECK(indented(one.laid_out) == one.laid_out);
    }
}

TEST_CASE("what is no JSON is not laid out") {
    for (const std::string json : {"", "[", "{\"a\"}", "[1]]", "\"", "nul", "[1,]"}) {
        CAPTURE(json);
        CHECK_THROWS_AS(indented(json), malformed_body);
    }
}

}  // namespace
