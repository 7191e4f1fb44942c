// The extension hstore: keys and values, bound and read.
#pragma once

#include <bitdotio/field.hpp>
#include <bitdotio/to_sql.hpp>

#include <map>
#include <optional>
#include <string>

namespace bitdotio {

/// The value of an hstore; a value may be NULL. Its type differs from database to database, so it
/// is sent as text whose type the server infers, and recognised by its form when it is read.
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
