// The answer of a query, both ways: columns, and rows as lists or as objects.
#pragma once

#include <bitdotio/models.hpp>

#include <string>
#include <string_view>

namespace bitdotio::api {

/// Strings of columns whose type is json or jsonb are copied as they are.
///
/// Parameters: each row of `value` has a value for each of its columns.
std::string encode_query_answer(const query_result& value, data_format format);

/// Rows come as lists or as objects. Numbers that do not fit 64 bits become double;
/// query_result::data_json keeps their digits.
///
/// Errors: malformed_body.
query_result decode_query_answer(std::string_view body);

}  // namespace bitdotio::api
