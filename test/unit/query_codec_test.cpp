// The answer of a query, to JSON and back.
#include "service/query_codec.hpp"
#include "service/answer_reader.hpp"
#include "service/json_fields.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

namespace {

using namespace bitdotio;
using api::decode_query_answer;
using api::encode_query_answer;
using api::malformed_body;
using rows = std::vector<std::vector<query_value>>;

constexpr std::monostate null;

// An answer with one row and one column, which is `value` in JSON.
std::string answer_with(const std::string& value) {
    return R"({"query_string":"","metadata":{"a":"text"},"data":[[)" + value + "]]}";
}

query_value only_value(const std::string& body) {
    const query_result answer = decode_query_answer(body);
    REQUIRE(answer.rows.size() == 1);
    REQUIRE(answer.rows[0].size() == 1);
    return answer.rows[0][0];
}

query_result people() {
    query_result answer;
    answer.query_string = "SELECT \"everything\"\n";
    answer.columns = {{"name", "text"}, {"age", "bigint"}, {"tall", "boolean"}, {"size", "float8"}};
    answer.rows = {{std::string("Älice \"A\""), std::int64_t{45}, true, 1.5},
                   {null, std::numeric_limits<std::int64_t>::min(), false, -0.001},
                   {std::string(), std::numeric_limits<std::int64_t>::max(), null, 1e300}};
    return answer;
}

TEST_CASE("an answer is written as rows or as objects, in the order of its columns") {
    query_result answer;
    answer.query_string = "SELECT";
    answer.columns = {{"b", "text"}, {"a", "bigint"}};
    answer.rows = {{std::string("x"), std::int64_t{1}}, {null, std::int64_t{2}}};
    CHECK(encode_query_answer(answer, data_format::rows) ==
          R"({"query_string":"SELECT","metadata":{"b":"text","a":"bigint"},)"
          R"("data":[["x",1],[null,2]]})");
    CHECK(encode_query_answer(answer, data_format::objects) ==
          R"({"query_string":"SELECT","metadata":{"b":"text","a":"bigint"},)"
          R"("data":[{"b":"x","a":1},{"b":null,"a":2}]})");
}

TEST_CASE("an answer survives the way there and back in both formats") {
    const query_result before = people();
    for (const data_format format : {data_format::rows, data_format::objects}) {
        const query_result after = decode_query_answer(encode_query_answer(before, format));
        CHECK(after.query_string == before.query_string);
        CHECK(after.columns == before.columns);
        CHECK(after.rows == before.rows);
    }
}

TEST_CASE("an answer without rows is an empty list") {
    for (const data_format format : {data_format::rows, data_format::objects}) {
        const std::string text = encode_query_answer(query_result(), format);
        CHECK(text == R"({"query_string":"","metadata":{},"data":[]})");
        CHECK(decode_query_answer(text).data_json == "[]");
    }
}

TEST_CASE("numbers that JSON does not have are strings") {
    query_result answer;
    answer.columns = {{"a", "double precision"}};
    const double infinite = std::numeric_limits<double>::infinity();
    answer.rows = {{std::nan("")}, {infinite}, {-infinite}};
    const query_result after = decode_query_answer(encode_query_answer(answer, data_format::rows));
    CHECK(after.data_json == R"([["NaN"],["Infinity"],["-Infinity"]])");
}

TEST_CASE("a floating-point number has PostgreSQL's digits, and is read as a double") {
    query_result answer;
    answer.columns = {{"a", "real"}, {"b", "double precision"}};
    answer.rows = {{std::string("0.1"), std::string("0.30000000000000004")},
                   {std::string("1e+20"), std::string("-1e-05")},
                   {std::string("7"), std::string("-Infinity")},
                   {std::string("NaN"), null}};
    const std::string text = encode_query_answer(answer, data_format::rows);
    CHECK(text.ends_with(
        R"([[0.1,0.30000000000000004],[1e+20,-1e-05],[7,"-Infinity"],["NaN",null]]})"));
    const std::string objects = encode_query_answer(answer, data_format::objects);
    for (const std::string& body : {text, objects}) {
        const query_result after = decode_query_answer(body);
        CHECK(after.rows.at(0).at(0) == query_value(0.1));
        CHECK(after.rows.at(2).at(0) == query_value(7.0));
        CHECK(after.rows.at(2).at(1) == query_value(std::string("-Infinity")));
    }
    answer.columns = {{"a", "text"}, {"b", "numeric"}};
    CHECK(
        encode_query_answer(answer, data_format::rows).find(R"([["0.1","0.30000000000000004"],)") !=
        std::string::npos);
}

TEST_CASE("a column of JSON is nested as it is, any other text is a string") {
    for (const std::string type : {"json", "jsonb"}) {
        query_result answer;
        answer.columns = {{"a", type}, {"b", "text"}};
        const std::string text = R"({"k": [1.10, 12345678901234567890123, "\ud800"]})";
        answer.rows = {{text, std::string("[1]")}, {null, null}};
        CHECK(encode_query_answer(answer, data_format::rows) ==
              R"({"query_string":"","metadata":{"a":")" + type + R"(","b":"text"},"data":[[)" +
                  text + R"(,"[1]"],[null,null]]})");
    }
}

TEST_CASE("columns of one name are told apart by numbers, in objects and in the metadata") {
    query_result answer;
    answer.columns = {
        {"a", "bigint"}, {"b", "bigint"}, {"a", "text"}, {"a_1", "bigint"}, {"a", "bigint"}};
    answer.rows = {
        {std::int64_t{1}, std::int64_t{2}, std::string("3"), std::int64_t{4}, std::int64_t{5}}};
    const std::string metadata =
        R"("metadata":{"a":"bigint","b":"bigint","a_2":"text","a_1":"bigint","a_3":"bigint"})";
    const std::string objects = encode_query_answer(answer, data_format::objects);
    CHECK(objects.find(metadata) != std::string::npos);
    CHECK(objects.ends_with(R"([{"a":1,"b":2,"a_2":"3","a_1":4,"a_3":5}]})"));
    const std::string lists = encode_query_answer(answer, data_format::rows);
    CHECK(lists.find(metadata) != std::string::npos);
    CHECK(lists.ends_with(R"([[1,2,"3",4,5]]})"));
    for (const std::string& body : {objects, lists}) {
        const query_result after = decode_query_answer(body);
        CHECK(after.columns.size() == 5);
        CHECK(after.rows == answer.rows);
    }
    answer.columns = {{"a", "bigint"}, {"a", "bigint"}};
    answer.rows = {{std::int64_t{1}, std::int64_t{2}}};
    CHECK(encode_query_answer(answer, data_format::objects).ends_with(R"([{"a":1,"a_1":2}]})"));
}

TEST_CASE("values are read as what JSON says they are") {
    struct row {
        std::string json;
        query_value value;
    };
    const row table[] = {
        {"null", null},
        {"true", true},
        {"false", false},
        {"0", std::int64_t{0}},
        {"-9223372036854775808", std::numeric_limits<std::int64_t>::min()},
        {"9223372036854775807", std::numeric_limits<std::int64_t>::max()},
        {"1.5", 1.5},
        {"1.0", 1.0},
        {"1e3", 1000.0},
        {R"("")", std::string()},
        {R"("\u00e9\n")", std::string("é\n")},
        {R"("12")", std::string("12")},
    };
    for (const row& one : table) {
        CAPTURE(one.json);
        CHECK(only_value(answer_with(one.json)) == one.value);
    }
}

TEST_CASE("an integer beyond 64 bits is read as double, and its digits are kept beside") {
    for (const std::string json :
         {"9223372036854775808", "18446744073709551615", "18446744073709551616",
          "-9223372036854775809", "12345678901234567890123"}) {
        CAPTURE(json);
        const query_result answer = decode_query_answer(answer_with(json));
        const double* value = std::get_if<double>(&answer.rows.at(0).at(0));
        REQUIRE(value);
        CHECK(*value == doctest::Approx(std::stod(json)).epsilon(1e-15));
        CHECK(answer.data_json == "[[" + json + "]]");
    }
}

TEST_CASE("a nested value is read as its JSON text") {
    CHECK(only_value(answer_with(R"({"k": [1, null, "x"]})")) ==
          query_value(R"({"k":[1,null,"x"]})"));
    CHECK(only_value(answer_with("[ ]")) == query_value("[]"));
}

TEST_CASE("values are nested some hundred levels deep, but no body eats up the stack") {
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    CHECK(only_value(answer_with(nested(400))) == query_value(nested(400)));
    CHECK_THROWS_AS(decode_query_answer(answer_with(nested(1'000'000))), malformed_body);
}

TEST_CASE("objects are put in the order of the columns, and what they lack is NULL") {
    const query_result answer = decode_query_answer(
        R"({"metadata":{"a":"bigint","b":"text"},"data":[{"b":"x","a":1},{"c":true},{"a":2}]})");
    CHECK(answer.rows ==
          rows{{std::int64_t{1}, std::string("x")}, {null, null}, {std::int64_t{2}, null}});
}

TEST_CASE("the data is kept as it came") {
    const std::string data = R"([ {"a": 1.10},  {"a":12345678901234567890 } ])";
    CHECK(
        decode_query_answer(R"({"metadata":{"a":"numeric"}, "data" : )" + data + " }").data_json ==
        data);
}

TEST_CASE("an answer may lack anything and hold more than is known") {
    for (const std::string body :
         {"{}", R"({"data":null,"metadata":null,"query_string":null,"next":[1]})"}) {
        CAPTURE(body);
        const query_result answer = decode_query_answer(body);
        CHECK(answer.query_string.empty());
        CHECK(answer.columns.empty());
        CHECK(answer.rows.empty());
        CHECK(answer.data_json == "[]");
    }
}

TEST_CASE("a malformed answer is refused with the field that is wrong") {
    struct row {
        std::string body;
        std::string field;
    };
    const row table[] = {
        {"", ""},
        {"{", ""},
        {"[]", ""},
        {"<html>", ""},
        {R"({"query_string":1})", "query_string"},
        {R"({"metadata":[]})", "metadata"},
        {R"({"metadata":{"a":1}})", "metadata"},
        {R"({"data":{}})", "data"},
        {R"({"data":[1]})", "data"},
    };
    for (const row& one : table) {
        CAPTURE(one.body);
        try {
            decode_query_answer(one.body);
            FAIL("it was taken");
        } catch (const malformed_body& failure) {
            CHECK(failure.field() == one.field);
            CHECK(std::string(failure.what()).find(one.field) != std::string::npos);
        }
    }
}

// What is read as it is parsed, and what is read as a tree, are the same answer.
TEST_CASE("an answer is the same in the server's order, which is read at once, and in another") {
    const std::string columns =
        R"({"a":"double precision","b":"json","c":"text","d":"bigint","e":"boolean"})";
    const std::string data =
        R"([[7,{"k":[1,2.5e10,"x\u00e9",{"z":null}],"l":{}},"a\n\"b\"",12345678901234,true],)"
        R"( [0.1,[],"",18446744073709551615,null],[null,"s","\ud83d\ude00",-1,false]])";
    const auto both_of = [&](const std::string& rows_in_json) {
        const std::string usual = R"({"query_string":"SELECT 1","metadata":)" + columns +
                                  R"(,"data":)" + rows_in_json + "}";
        const std::string other = R"({"data":)" + rows_in_json + R"(,"metadata":)" + columns +
                                  R"(,"query_string":"SELECT 1"})";
        CHECK(api::read_query_answer(usual));
        CHECK_FALSE(api::read_query_answer(other));
        const query_result at_once = decode_query_answer(usual);
        const query_result as_tree = decode_query_answer(other);
        CHECK(at_once.query_string == as_tree.query_string);
        CHECK(at_once.columns == as_tree.columns);
        CHECK(at_once.rows == as_tree.rows);
        CHECK(at_once.data_json == as_tree.data_json);
        CHECK(at_once.data_json == rows_in_json);
        return at_once.rows.size();
    };
    CHECK(both_of(data) == 3);
    CHECK(both_of("[]") == 0);
    CHECK(both_of(R"([{"a":1,"b":[{"b":1}],"c":"]}","d":2,"e":null}])") == 1);
}

TEST_CASE("an answer of another shape is left to be read as a tree") {
    const std::string head = R"({"query_string":"","metadata":{"a":"text","b":"text"},"data":)";
    for (const std::string& rest : {
             std::string(R"([["x"]]})"),                 // too few values
             std::string(R"([["x","y","z"]]})"),         // too many
             std::string(R"([{"b":"y","a":"x"}]})"),     // in another order
             std::string(R"([{"a":"x"}]})"),             // one is missing
             std::string(R"([["x","y"]],"more":[1]})"),  // not the last
             std::string(R"([["x","y"]],"data":[[1,2]]})"),
             std::string(R"([["x","y"]]} x)"),
             std::string(R"([["x","y"])"),
             std::string(R"([1]})"),
             std::string("null}"),
         }) {
        CAPTURE(rest);
        CHECK_FALSE(api::read_query_answer(head + rest));
    }
}

}  // namespace
