// Quotes names and literals for the text of a statement.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace bitdotio {

/// A name as a quoted identifier: `my "table"` becomes `"my ""table"""`. For table and column
/// names, which cannot be bound as parameters.
///
/// Errors: errc::bad_input if it is empty, has a zero byte, or more than 63 bytes, which the
///     server would silently cut.
/// See: PostgreSQL manual, 4.1.1 "Identifiers and Key Words".
std::string quote_identifier(std::string_view name);

/// The same for a name in parts, such as schema and table: `"public"."person"`.
std::string quote_identifier(std::initializer_list<std::string_view> parts);

/// A text as a string literal, for the few places where a parameter is not possible, such as the
/// options of CREATE or COMMENT. Everywhere else bind it: a bound value needs no quoting.
///
/// Errors: errc::bad_input if it has a zero byte, which text cannot have.
/// See: PostgreSQL manual, 4.1.2.1 "String Constants".
std::string quote_literal(std::string_view text);

}  // namespace bitdotio
