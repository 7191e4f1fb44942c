// Values: each decoder in both forms; what it read is written and read again.
//
// An input is a letter for the C++ type, one for the form, one for the column's type, and the
// value.
#include "fuzz.hpp"

#include <bitdotio/arrays.hpp>
#include <bitdotio/bit_string.hpp>
#include <bitdotio/calendar.hpp>
#include <bitdotio/composites.hpp>
#include <bitdotio/decimal.hpp>
#include <bitdotio/enums.hpp>
#include <bitdotio/hstore.hpp>
#include <bitdotio/json.hpp>
#include <bitdotio/money.hpp>
#include <bitdotio/network.hpp>
#include <bitdotio/params.hpp>
#include <bitdotio/quoting.hpp>
#include <bitdotio/ranges.hpp>

#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using namespace bitdotio;
using fuzz::reads;
using fuzz::require;

namespace {

enum class colour { red, green };

struct person {
    int id = 0;
    std::optional<std::string> name;
    std::vector<int> numbers;

    friend bool operator==(const person&, const person&) = default;
};

}  // namespace

template <>
struct bitdotio::enum_labels<colour> {
    static constexpr enum_label<colour> values[] = {{colour::red, "red"}, {colour::green, "green"}};
};

namespace {

template <class T>
bool same(const T& left, const T& right) {
    if constexpr (std::is_floating_point_v<T> || std::is_same_v<T, decimal>) {
        return left == right || (left != left && right != right);
    } else {
        return left == right;
    }
}
bool same(const std::vector<double>& left, const std::vector<double>& right) {
    return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                      [](double a, double b) { return same(a, b); });
}

template <class T>
T again(oid type, bool binary, std::string_view data) {
    return field_view("again", 0, 0, type, binary, data).as<T>();
}

// A value that can be bound is the same when it comes back, and its text says the same.
template <class T>
void write_and_read(const T& value, oid type) {
    params bound;
    if (!reads({errc::bad_input}, [&] { bound.add(value); })) return;
    if (to_sql<T>::type != oids::unspecified) type = to_sql<T>::type;
    require(same(again<T>(type, bound.is_binary(0), bound.value(0)), value),
            "a bound value reads as what it was");
    std::string text;
    wire::write_text(value, text);
    require(same(again<T>(type, false, text), value), "its text reads as what it was");
}

// The server writes a space after each comma, and the reader relies on it.
void write_and_read(const hstore& value, oid type) {
    std::string text;
    for (const auto& pair : value) {
        text += text.empty() ? "" : ", ";
        to_sql<hstore>::write({pair}, text);
    }
    require(again<hstore>(type, false, text) == value, "an hstore reads as what it was");
}

// The server gives numbers back in its own form, which has no exponent, and no other is read.
void write_and_read(const decimal& value, oid type) {
    const std::string text(params(value).value(0));
    const bool number = boost::multiprecision::isfinite(value);
    require(same(number ? decimal(text) : again<decimal>(type, false, text), value),
            "a decimal keeps its digits");
}

void write_and_read(const range<decimal>&, oid) {}

// Texts of columns that are no text come back as text.
void write_and_read(const std::string&, oid) {}

// Boost.JSON rounds some doubles once more when it reads them again.
void write_and_read(const boost::json::value& value, oid) {
    again<boost::json::value>(oids::json, false, params(value).value(0));
}

// The server can neither have nor send these as text: the locale decides.
void write_and_read(const money& value, oid type) {
    require(again<money>(type, true, params(value).value(0)) == value, "money is what it was");
}

template <class T>
void read(const field_view& field) {
    std::optional<T> value;
    const bool read =
        reads({errc::wrong_type, errc::unexpected_null}, [&] { value.emplace(field.as<T>()); });
    if (!read) return;
    if constexpr (std::is_same_v<T, inet>) {
        require(field.is_binary() || field.data().find('\0') == std::string_view::npos,
                "an address is all of its text");
    }
    write_and_read(*value, field.type());
}

// An array whatever its elements are: as many as its dimensions say.
void walk_array(const field_view& field) {
    reads({errc::wrong_type, errc::unexpected_null}, [&] {
        array_view array(field);
        std::size_t count = array.dimension_count() > 0 ? 1 : 0;
        for (std::size_t i = 0; i < array.dimension_count(); ++i) {
            count *= array.dimension(i).size;
        }
        require(count == array.size(), "the dimensions say how many elements there are");
        require(count <= field.data().size(), "an array has no more elements than octets");
        for (; count > 0; --count) {
            const field_view element = array.next();
            if (!element.is_null()) element.as<std::optional<std::string>>();
        }
    });
}

void walk_composite(const field_view& field) {
    reads({errc::wrong_type, errc::unexpected_null}, [&] {
        composite_view fields(field);
        require(fields.size() <= field.data().size(), "a composite has no more fields than octets");
        for (std::size_t left = fields.size(); left > 0; --left) {
            fields.next().as<std::optional<std::string>>();
        }
    });
}

// A text view points into the field, and says what the string says.
void view_text(const field_view& field) {
    reads({errc::wrong_type}, [&] {
        const auto view = field.as<std::string_view>();
        require(view == field.as<std::string>(), "a view and a string read the same");
    });
    reads({errc::wrong_type}, [&] { field.as<char>(); });
}

// What quotes makes of a text ends where it began to be quoted.
void quote(const field_view& field) {
    reads({errc::bad_input}, [&] {
        std::string name = quote_identifier(field.data());
        std::size_t quotes = 0;
        for (const char c : name)
            quotes += c == '"';
        require(quotes % 2 == 0 && name.front() == '"' && name.back() == '"',
                "an identifier's quotes are doubled");
        quote_literal(field.data());
    });
}

struct decoder {
    void (*run)(const field_view&);
    oid natural;  ///< the type of its column, if the input does not want another
};

constexpr decoder decoders[] = {
    {read<bool>, oids::boolean},
    {read<std::int16_t>, oids::int2},
    {read<std::int32_t>, oids::int4},
    {read<std::int64_t>, oids::int8},
    {read<std::uint64_t>, oids::int8},
    {read<float>, oids::float4},
    {read<double>, oids::float8},
    {read<decimal>, oids::numeric},
    {read<std::string>, oids::numeric},
    {read<bytes>, oids::bytea},
    {read<timestamptz>, oids::timestamptz},
    {read<timestamp>, oids::timestamp},
    {read<date>, oids::date},
    {read<time_of_day>, oids::time},
    {read<timetz>, oids::timetz},
    {read<interval>, oids::interval},
    {read<std::chrono::seconds>, oids::interval},
    {read<uuid>, oids::uuid},
    {read<hstore>, oids::first_user},
    {read<boost::json::value>, oids::jsonb},
    {read<inet>, oids::inet},
    {read<cidr>, oids::cidr},
    {read<money>, oids::money},
    {read<bit_string>, oids::varbit},
    {read<colour>, oids::first_user},
    {read<range<std::int32_t>>, oids::int4range},
    {read<range<timestamptz>>, oids::tstzrange},
    {read<range<decimal>>, oids::numrange},
    {read<multirange<std::int64_t>>, oids::int8multirange},
    {read<multirange<date>>, oids::datemultirange},
    {read<std::vector<std::int32_t>>, array_of(oids::int4)},
    {read<std::vector<std::vector<std::int32_t>>>, array_of(oids::int4)},
    {read<std::array<std::int16_t, 2>>, array_of(oids::int2)},
    {read<std::vector<double>>, array_of(oids::float8)},
    {read<std::vector<std::optional<std::string>>>, array_of(oids::text)},
    {read<std::vector<interval>>, array_of(oids::interval)},
    {read<person>, oids::first_user},
    {read<std::tuple<std::string, std::optional<bool>>>, oids::record},
    {read<std::vector<person>>, oids::first_user},
    {walk_array, oids::first_user},
    {walk_composite, oids::record},
    {view_text, oids::text},
    {quote, oids::text},
};

constexpr oid types[] = {
    oids::unspecified,
    oids::boolean,
    oids::int2,
    oids::int4,
    oids::int8,
    oids::oid_,
    oids::float4,
    oids::float8,
    oids::numeric,
    oids::text,
    oids::bytea,
    oids::json,
    oids::jsonb,
    oids::record,
    array_of(oids::text),
    array_of(oids::numeric),
    oids::first_user,
    oids::first_user + 1,
    4'089,
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::input in(data, size);
    const decoder& chosen = decoders[in.letter(std::size(decoders))];
    const bool binary = in.letter(2) != 0;
    const std::size_t other = in.letter(1 + std::size(types));
    const oid type = other == 0 ? chosen.natural : types[other - 1];
    chosen.run(field_view("value", 0, 0, type, binary, in.rest()));
    return 0;
}
