// The numbers of PostgreSQL's built-in types, and which is whose array or range.
#pragma once

#include <cstdint>
#include <string>

namespace bitdotio {

/// The number of a type in PostgreSQL's catalog (pg_type.oid).
using oid = std::uint32_t;

/// The built-in types this library reads and writes in binary.
///
/// See: PostgreSQL's catalog pg_type; the numbers of built-in types never change.
namespace oids {
inline constexpr oid unspecified = 0;  ///< the server infers the type from the statement
inline constexpr oid boolean = 16;
inline constexpr oid bytea = 17;
inline constexpr oid char_ = 18;
inline constexpr oid name = 19;
inline constexpr oid int8 = 20;
inline constexpr oid int2 = 21;
inline constexpr oid int4 = 23;
inline constexpr oid text = 25;
inline constexpr oid oid_ = 26;
inline constexpr oid json = 114;
inline constexpr oid xml = 142;
inline constexpr oid cidr = 650;
inline constexpr oid float4 = 700;
inline constexpr oid float8 = 701;
inline constexpr oid unknown = 705;
inline constexpr oid money = 790;
inline constexpr oid inet = 869;
inline constexpr oid bpchar = 1042;
inline constexpr oid varchar = 1043;
inline constexpr oid date = 1082;
inline constexpr oid time = 1083;
inline constexpr oid timestamp = 1114;
inline constexpr oid timestamptz = 1184;
inline constexpr oid interval = 1186;
inline constexpr oid timetz = 1266;
inline constexpr oid bit = 1560;
inline constexpr oid varbit = 1562;
inline constexpr oid numeric = 1700;
inline constexpr oid record = 2249;
inline constexpr oid uuid = 2950;
inline constexpr oid jsonb = 3802;
inline constexpr oid int4range = 3904;
inline constexpr oid numrange = 3906;
inline constexpr oid tsrange = 3908;
inline constexpr oid tstzrange = 3910;
inline constexpr oid daterange = 3912;
inline constexpr oid int8range = 3926;
inline constexpr oid int4multirange = 4451;
inline constexpr oid nummultirange = 4532;
inline constexpr oid tsmultirange = 4533;
inline constexpr oid tstzmultirange = 4534;
inline constexpr oid datemultirange = 4535;
inline constexpr oid int8multirange = 4536;
inline constexpr oid first_user = 16384;  ///< types of a database's own are numbered from here
}  // namespace oids

/// The SQL name of a type ("integer", "text[]"…), or "type with OID 12345" for one this library
/// does not know.
std::string type_name(oid type);

/// The type made from another, or the one it is made from; oids::unspecified where there is none,
/// or where it is a type of a database's own.
constexpr oid array_of(oid element);
constexpr oid element_of(oid array);
constexpr oid range_of(oid bound);
constexpr oid multirange_of(oid range);
/// The range of a multirange.
constexpr oid range_in(oid multirange);
/// The bounds' type of a range.
constexpr oid bound_of(oid range);

namespace wire {

// Whether the binary form of a built-in type is its text.
constexpr bool is_text_type(oid type) {
    switch (type) {
        case oids::text:
        case oids::varchar:
        case oids::bpchar:
        case oids::name:
        case oids::char_:
        case oids::json:
        case oids::xml:
        case oids::unknown: return true;
        default: return false;
    }
}

struct array_oids {
    oid element;
    oid array;
};
inline constexpr array_oids arrays[] = {
    {oids::boolean, 1000},
    {oids::bytea, 1001},
    {oids::char_, 1002},
    {oids::name, 1003},
    {oids::int2, 1005},
    {oids::int4, 1007},
    {oids::text, 1009},
    {oids::bpchar, 1014},
    {oids::varchar, 1015},
    {oids::int8, 1016},
    {oids::float4, 1021},
    {oids::float8, 1022},
    {oids::oid_, 1028},
    {oids::inet, 1041},
    {oids::timestamp, 1115},
    {oids::date, 1182},
    {oids::time, 1183},
    {oids::timestamptz, 1185},
    {oids::interval, 1187},
    {oids::numeric, 1231},
    {oids::timetz, 1270},
    {oids::bit, 1561},
    {oids::varbit, 1563},
    {oids::xml, 143},
    {oids::json, 199},
    {oids::cidr, 651},
    {oids::money, 791},
    {oids::record, 2287},
    {oids::uuid, 2951},
    {oids::jsonb, 3807},
    {oids::int4range, 3905},
    {oids::numrange, 3907},
    {oids::tsrange, 3909},
    {oids::tstzrange, 3911},
    {oids::daterange, 3913},
    {oids::int8range, 3927},
    {oids::int4multirange, 6150},
    {oids::nummultirange, 6151},
    {oids::tsmultirange, 6152},
    {oids::tstzmultirange, 6153},
    {oids::datemultirange, 6155},
    {oids::int8multirange, 6157},
};

struct range_oids {
    oid bound;
    oid range;
    oid multirange;
};
inline constexpr range_oids ranges[] = {
    {oids::int4, oids::int4range, oids::int4multirange},
    {oids::int8, oids::int8range, oids::int8multirange},
    {oids::numeric, oids::numrange, oids::nummultirange},
    {oids::timestamp, oids::tsrange, oids::tsmultirange},
    {oids::timestamptz, oids::tstzrange, oids::tstzmultirange},
    {oids::date, oids::daterange, oids::datemultirange},
};

}  // namespace wire

constexpr oid array_of(oid element) {
    for (const auto& known : wire::arrays) {
        if (known.element == element) return known.array;
    }
    return oids::unspecified;
}

constexpr oid element_of(oid array) {
    for (const auto& known : wire::arrays) {
        if (known.array == array) return known.element;
    }
    return oids::unspecified;
}

constexpr oid range_of(oid bound) {
    for (const auto& known : wire::ranges) {
        if (known.bound == bound) return known.range;
    }
    return oids::unspecified;
}

constexpr oid multirange_of(oid range) {
    for (const auto& known : wire::ranges) {
        if (known.range == range) return known.multirange;
    }
    return oids::unspecified;
}

constexpr oid range_in(oid multirange) {
    for (const auto& known : wire::ranges) {
        if (known.multirange == multirange) return known.range;
    }
    return oids::unspecified;
}

constexpr oid bound_of(oid range) {
    for (const auto& known : wire::ranges) {
        if (known.range == range) return known.bound;
    }
    return oids::unspecified;
}

}  // namespace bitdotio
