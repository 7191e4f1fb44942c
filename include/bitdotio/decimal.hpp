// numeric as Boost.Multiprecision's decimal numbers: opt in by including this header.
#pragma once

#include <bitdotio/field.hpp>
#include <bitdotio/to_sql.hpp>

#include <boost/multiprecision/cpp_dec_float.hpp>

#include <ios>
#include <limits>
#include <string>
#include <string_view>

namespace bitdotio {

/// A numeric of up to 50 digits.
using decimal = boost::multiprecision::cpp_dec_float_50;

/// Binds and reads exactly: a number of more significant digits than `Digits` is refused with
/// errc::wrong_type when it is read, and can be read as a std::string. Trailing zeros of the
/// fraction are not kept (1.50 is 1.5). NaN and the infinities are supported.
template <unsigned Digits, class Exponent, class Allocator,
          boost::multiprecision::expression_template_option Templates>
struct from_sql<boost::multiprecision::number<
    boost::multiprecision::cpp_dec_float<Digits, Exponent, Allocator>, Templates>> {
    using number = boost::multiprecision::number<
        boost::multiprecision::cpp_dec_float<Digits, Exponent, Allocator>, Templates>;

    static number read(const field_view& field) {
        const std::string text = wire::read_decimal(field, Digits, wire::cpp_name<number>());
        if (text == "NaN") return std::numeric_limits<number>::quiet_NaN();
        if (text == "Infinity") return std::numeric_limits<number>::infinity();
        if (text == "-Infinity") return -std::numeric_limits<number>::infinity();
        return number(text);
    }
};

/// Travels as text, which is exact for a numeric. A result of arithmetic may hold some digits more
/// than `Digits`; they are rounded to `Digits`.
template <unsigned Digits, class Exponent, class Allocator,
          boost::multiprecision::expression_template_option Templates>
struct to_sql<boost::multiprecision::number<
    boost::multiprecision::cpp_dec_float<Digits, Exponent, Allocator>, Templates>> {
    using number = boost::multiprecision::number<
        boost::multiprecision::cpp_dec_float<Digits, Exponent, Allocator>, Templates>;

    static constexpr oid type = oids::numeric;
    static constexpr bool binary = false;
    static void write(const number& value, std::string& out) {
        if (boost::multiprecision::isnan(value)) {
            out += "NaN";
        } else if (boost::multiprecision::isinf(value)) {
            out += value > 0 ? "Infinity" : "-Infinity";
        } else {
            out += value.str(Digits, std::ios_base::fmtflags());
        }
    }
};

}  // namespace bitdotio
