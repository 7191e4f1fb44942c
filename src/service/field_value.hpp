// A field of PostgreSQL's answer as a value of the API's.
#pragma once

#include <bitdotio/field.hpp>
#include <bitdotio/models.hpp>
#include <bitdotio/oids.hpp>

#include <cstdint>
#include <string>
#include <variant>

namespace bitdotio {

/// Booleans and integers become such; all else keeps its text. So do float4 and float8, whose text
/// is the shortest that is exact: as a double, 0.1::real would be 0.10000000149011612. And numeric,
/// which a JSON number would round.
///
/// Parameters: `field` came as text.
inline query_value api_value_of(const field_view& field) {
    if (field.is_null()) return std::monostate();
    switch (field.type()) {
        case oids::boolean: return field.data() == "t";
        case oids::int2:
        case oids::int4:
        case oids::int8:
        case oids::oid_: return field.as<std::int64_t>();
        default: return std::string(field.data());
    }
}

}  // namespace bitdotio
