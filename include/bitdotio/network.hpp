// Network addresses: inet and cidr, bound and read.
#pragma once

#include <bitdotio/field.hpp>
#include <bitdotio/to_sql.hpp>

#include <array>
#include <compare>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>

namespace bitdotio {

/// The value of an inet: an address of a host, and how many of its bits name its network.
///
/// For Asio: `asio::ip::make_address(value.address())`, and `inet::parse(address.to_string())`.
///
/// Thread safety: a value.
struct inet {
    std::array<std::uint8_t, 16> octets{};  ///< the first 4 for IPv4, the others zero
    bool v6 = false;
    std::uint8_t prefix = 32;

    /// Takes "192.168.0.1", "192.168.0.1/24", "2001:db8::1", "2001:db8::/32".
    ///
    /// Errors: errc::bad_input if it is not an address.
    static inet parse(std::string_view text);

    /// The address without the prefix.
    std::string address() const;

    friend bool operator==(const inet&, const inet&) = default;
    friend auto operator<=>(const inet&, const inet&) = default;
};

/// The value of a cidr: a network. Bits after the prefix are zero, or the server refuses it.
///
/// Thread safety: a value.
struct cidr {
    inet network;

    /// As inet::parse.
    static cidr parse(std::string_view text) { return {inet::parse(text)}; }

    friend bool operator==(const cidr&, const cidr&) = default;
    friend auto operator<=>(const cidr&, const cidr&) = default;
};

/// As PostgreSQL writes them: an inet without its prefix if the prefix covers the whole address.
std::string to_string(const inet& value);
std::string to_string(const cidr& value);
std::ostream& operator<<(std::ostream& out, const inet& value);
std::ostream& operator<<(std::ostream& out, const cidr& value);

// Defined in network.cpp.
namespace wire {
inet read_inet(const field_view& field);
cidr read_cidr(const field_view& field);
void write(std::string& out, const inet& value, bool is_network);
}  // namespace wire

template <>
struct to_sql<inet> {
    static constexpr oid type = oids::inet;
    static constexpr bool binary = true;
    static void write(const inet& value, std::string& out) { wire::write(out, value, false); }
    static void write_text(const inet& value, std::string& out) { out += to_string(value); }
};
template <>
struct from_sql<inet> {
    static inet read(const field_view& field) { return wire::read_inet(field); }
};

template <>
struct to_sql<cidr> {
    static constexpr oid type = oids::cidr;
    static constexpr bool binary = true;
    static void write(const cidr& value, std::string& out) {
        wire::write(out, value.network, true);
    }
    static void write_text(const cidr& value, std::string& out) { out += to_string(value); }
};
template <>
struct from_sql<cidr> {
    static cidr read(const field_view& field) { return wire::read_cidr(field); }
};

}  // namespace bitdotio
