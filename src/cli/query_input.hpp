// What "query" runs: statements from words, files and standard input, and their values.
#pragma once

#include <bitdotio/error.hpp>

#include "cli/arguments.hpp"

#include <string>
#include <utility>
#include <vector>

namespace bitdotio::cli {

/// The text of a file, or of standard input for "-": UTF-8, its byte order mark taken away.
///
/// Errors: errc::bad_input naming the file, and the first byte that is not UTF-8.
std::string read_text(const std::string& file);

/// The statements of -q, in their order, or the one of -qf.
///
/// Errors: errc::bad_input if there is none, or both are given; as read_text.
std::vector<std::string> statements_of(const arguments& words);

/// The names and values of -p NAME=VALUE.
///
/// Errors: errc::bad_input for another form, or a name given twice; never repeats a value.
std::vector<std::pair<std::string, std::string>> parameters_of(const arguments& words);

/// A statement whose names are numbers, and the values of those.
struct bound_statement {
    std::string sql;
    std::vector<std::string> values;
};

/// Replaces each `:name` by `$n`, where n counts the names in the order they first stand. Without
/// values a statement stays as it is.
///
/// Errors: errc::bad_input naming a name without a value, or a value that no statement has.
std::vector<bound_statement> bind_parameters(
    const std::vector<std::string>& statements,
    const std::vector<std::pair<std::string, std::string>>& values);

/// How a value is bound to a :name, for the end of the message that a statement with one, which
/// nobody has bound, is no SQL; empty for other failures.
///
/// Parameters: `direct` says whether the statement went over a Postgres connection.
std::string binding_hint(const error& failure, const std::string& text, bool direct);

}  // namespace bitdotio::cli
