// The names of types, as SQL writes them.
#include <bitdotio/oids.hpp>

namespace bitdotio {

std::string type_name(oid type) {
    if (const oid element = element_of(type)) {
        return type_name(element) + "[]";
    }
    switch (type) {
        case oids::boolean: return "boolean";
        case oids::bytea: return "bytea";
        case oids::char_: return "\"char\"";
        case oids::name: return "name";
        case oids::int8: return "bigint";
        case oids::int2: return "smallint";
        case oids::int4: return "integer";
        case oids::text: return "text";
        case oids::oid_: return "oid";
        case oids::json: return "json";
        case oids::xml: return "xml";
        case oids::cidr: return "cidr";
        case oids::float4: return "real";
        case oids::float8: return "double precision";
        case oids::unknown: return "unknown";
        case oids::money: return "money";
        case oids::inet: return "inet";
        case oids::bpchar: return "character";
        case oids::varchar: return "character varying";
        case oids::date: return "date";
        case oids::time: return "time without time zone";
        case oids::timestamp: return "timestamp without time zone";
        case oids::timestamptz: return "timestamp with time zone";
        case oids::interval: return "interval";
        case oids::timetz: return "time with time zone";
        case oids::bit: return "bit";
        case oids::varbit: return "bit varying";
        case oids::numeric: return "numeric";
        case oids::record: return "record";
        case oids::uuid: return "uuid";
        case oids::jsonb: return "jsonb";
        case oids::int4range: return "int4range";
        case oids::numrange: return "numrange";
        case oids::tsrange: return "tsrange";
        case oids::tstzrange: return "tstzrange";
        case oids::daterange: return "daterange";
        case oids::int8range: return "int8range";
        case oids::int4multirange: return "int4multirange";
        case oids::nummultirange: return "nummultirange";
        case oids::tsmultirange: return "tsmultirange";
        case oids::tstzmultirange: return "tstzmultirange";
        case oids::datemultirange: return "datemultirange";
        case oids::int8multirange: return "int8multirange";
        default: return "type with OID " + std::to_string(type);
    }
}

}  // namespace bitdotio
