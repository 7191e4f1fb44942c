// Reads the answer of a query straight into rows, without a tree of JSON in between.
#pragma once

#include <bitdotio/models.hpp>

#include <optional>
#include <string_view>

namespace bitdotio::api {

/// Reads an answer as our server writes it: "query_string", "metadata" and "data" in this order,
/// each once, rows of one shape. The result is what decode_query_answer says.
///
/// Nothing for any other answer, also for one that is malformed: decode_query_answer then reads it
/// as a tree, and says what is wrong.
std::optional<query_result> read_query_answer(std::string_view body);

}  // namespace bitdotio::api
