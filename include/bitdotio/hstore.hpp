// The extension hstore: keys and values, bound and read.
#pragma once

#include <bitdotio/field.hpp>
#include <bitdotio/to_sql.hpp>

#include <map>
#include <optional>
#include <string>

namespace bitdotio {

/// The value of an hstore; a value may be NULL. Its type is of the database's own, so it travels
/// there as text that the server infers, and is known by its form when it comes.
using hstore = std::map<std::string, std::optional<std::string>>;

template <>
struct to_sql<hstore> {
    static constexpr oid type = oids::unspecified;
    static constexpr bool binary = false;
    static void write(const hstore& value, std::string& out);
};

template <>
struct from_sql<hstore> {
    static hstore read(const field_view& field);
};

}  // namespace bitdotio
