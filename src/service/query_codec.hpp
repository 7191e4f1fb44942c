// The answer of a query, both ways: columns, and rows as lists or as objects.
#pragma once

#include <bitdotio/models.hpp>

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio::api {

/// Takes JSON text piece by piece. A long value comes in several.
using json_sink = std::function<void(std::string_view)>;

/// Writes the rows of an answer one by one, so that no more than a piece of them is in memory.
///
/// Of columns of one name the second is called `a_1` in objects, as in what encode_query_head
/// writes, and so on: an object, and the list of columns, have one member of each name.
///
/// Thread safety: a value.
class row_encoder {
public:
    row_encoder(std::vector<query_result::column> columns, data_format format);

    const std::vector<query_result::column>& columns() const noexcept { return columns_; }
    /// Parameters: `value_of` gives the row's value of a column; `to` also gets the comma before
    ///     every row but the first.
    void add(const std::function<query_value(std::size_t)>& value_of, const json_sink& to);

private:
    std::vector<query_result::column> columns_;
    std::vector<std::string> keys_;  // what stands before the values
    bool named_;
    bool first_ = true;
};

/// What stands before the rows of an answer, and what after them.
std::string encode_query_head(const std::string& query_string,
                              const std::vector<query_result::column>& columns);
inline constexpr std::string_view query_tail = "]}";

/// Strings of columns whose type is json or jsonb are copied as they are, and so are numbers that
/// columns of type real or double precision have as PostgreSQL's text.
///
/// Parameters: each row of `value` has a value for each of its columns.
std::string encode_query_answer(const query_result& value, data_format format);

/// Rows come as lists or as objects. Numbers that do not fit 64 bits become double, as do all of
/// columns of type real or double precision; query_result::data_json keeps their digits.
///
/// Errors: malformed_body.
query_result decode_query_answer(std::string_view body);

}  // namespace bitdotio::api
