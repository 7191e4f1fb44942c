// A statement and where in the caller's source it was handed over.
#pragma once

#include <bitdotio/statement.hpp>

#include <source_location>
#include <type_traits>
#include <utility>

namespace bitdotio {

namespace wire {

/// A statement and the place in the caller's source where it was handed over, which a parameter
/// after any number of values could not tell. Not for use by others.
struct placed_statement {
    template <class Sql>
        requires std::is_convertible_v<Sql, statement> placed_statement(
            Sql&& sql_, std::source_location where_ = std::source_location::current())
            : sql(std::forward<Sql>(sql_)), where(where_) {}

        statement sql;
        std::source_location where;
};

}  // namespace wire

}  // namespace bitdotio
