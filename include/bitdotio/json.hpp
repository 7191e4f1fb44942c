// json and jsonb as Boost.JSON's values: opt in by including this header.
#pragma once

#include <bitdotio/field.hpp>
#include <bitdotio/to_sql.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/parse_options.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>

namespace bitdotio {

/// JSON binds as text, and the server infers json or jsonb; where nothing tells it, cast:
/// `$1::jsonb`. A JSON null is a value: SQL's NULL is std::nullopt.
template <class T>
    requires(std::same_as<T, boost::json::value> || std::same_as<T, boost::json::object> ||
             std::same_as<T, boost::json::array>)
struct to_sql<T> {
    static constexpr oid type = oids::unspecified;
    static constexpr bool binary = false;
    static void write(const T& value, std::string& out) { out += boost::json::serialize(value); }
};

/// json and jsonb read into values. Their numbers become 64-bit integers where they fit, else
/// double, which rounds; callers that need every digit read a std::string.
///
/// Errors: errc::wrong_type for other types, and for values nested deeper than 512.
template <>
struct from_sql<boost::json::value> {
    static constexpr std::size_t most_depth = 512;

    static boost::json::value read(const field_view& field) {
        constexpr const char* wanted = "boost::json::value";
        if (field.type() != oids::json && field.type() != oids::jsonb &&
            (field.is_binary() || field.type() != oids::unspecified)) {
            throw field.mismatch(wanted);
        }
        std::string_view text = field.data();
        if (field.is_binary() && field.type() == oids::jsonb) {
            text.remove_prefix(text.empty() ? 0 : 1);  // the version of the binary form
        }
        boost::json::parse_options options;
        options.max_depth = most_depth;
        boost::system::error_code failure;
        boost::json::value value =
            boost::json::parse({text.data(), text.size()}, failure, {}, options);
        if (failure) {
            throw field.mismatch(wanted, failure.message());
        }
        return value;
    }
};

}  // namespace bitdotio
