// The rows of an answer of the API as text, with all their digits.
#pragma once

#include "cli/row_writer.hpp"

#include <functional>
#include <string_view>

namespace bitdotio::cli {

/// Calls `visit` with the text of each element of a JSON array that is known to be well-formed.
void each_element(std::string_view array, const std::function<void(std::string_view)>& visit);

/// A value of JSON as PostgreSQL writes it: `t` for true, a string without its quotes.
cell cell_of(std::string_view json);

}  // namespace bitdotio::cli
