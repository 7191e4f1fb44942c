// Network addresses in PostgreSQL's binary form and in text.
#include <bitdotio/network.hpp>

#include "values/wire_reader.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <ostream>

namespace bitdotio {

namespace {

std::size_t width(const inet& value) {
    return value.v6 ? 16 : 4;
}

// src/include/utils/inet.h: PGSQL_AF_INET is AF_INET, PGSQL_AF_INET6 the number after it.
constexpr std::uint8_t family_v4 = 2;
constexpr std::uint8_t family_v6 = 3;

inet read(const field_view& field, oid type, std::string_view wanted) {
    // An inet accepts a cidr, but not the reverse: not every address is a network.
    if (!wire::is_of(field, type) && !(type == oids::inet && field.type() == oids::cidr)) {
        throw field.mismatch(wanted);
    }
    if (!field.is_binary()) {
        return wire::parsed<inet>(field, wanted);
    }
    wire::octet_reader in(field, wanted);
    inet value;
    const auto family = in.take<std::uint8_t>();
    value.prefix = in.take<std::uint8_t>();
    in.take<std::uint8_t>();  // whether it is a cidr
    const auto size = in.take<std::uint8_t>();
    value.v6 = family == family_v6;
    if ((family != family_v4 && family != family_v6) || size != width(value) ||
        value.prefix > 8 * size) {
        throw in.malformed();
    }
    const std::string_view octets = in.take(size);
    std::copy(octets.begin(), octets.end(), value.octets.begin());
    in.require_end();
    return value;
}

}  // namespace

inet inet::parse(std::string_view text) {
    const auto slash = text.find('/');
    const std::string address(text.substr(0, slash));
    inet value;
    value.v6 = address.find(':') != std::string::npos;
    const unsigned most = value.v6 ? 128 : 32;
    unsigned prefix = most;
    bool well = address.find('\0') == std::string::npos &&
                inet_pton(value.v6 ? AF_INET6 : AF_INET, address.c_str(), value.octets.data()) == 1;
    if (slash != text.npos) {
        const char* end = text.data() + text.size();
        const auto [stop, failure] = std::from_chars(text.data() + slash + 1, end, prefix);
        well = well && failure == std::errc() && stop == end && prefix <= most;
    }
    if (!well) {
        throw error(errc::bad_input, "\"" + std::string(text) +
                                         "\" is not a network address such as 192.168.0.1, "
                                         "192.168.0.0/24 or 2001:db8::1");
    }
    value.prefix = static_cast<std::uint8_t>(prefix);
    return value;
}

std::string inet::address() const {
    char buffer[INET6_ADDRSTRLEN] = {};
    inet_ntop(v6 ? AF_INET6 : AF_INET, octets.data(), buffer, sizeof buffer);
    return buffer;
}

std::string to_string(const inet& value) {
    return value.prefix == 8 * width(value) ? value.address()
                                            : value.address() + "/" + std::to_string(value.prefix);
}

std::string to_string(const cidr& value) {
    return value.network.address() + "/" + std::to_string(value.network.prefix);
}

std::ostream& operator<<(std::ostream& out, const inet& value) {
    return out << to_string(value);
}
std::ostream& operator<<(std::ostream& out, const cidr& value) {
    return out << to_string(value);
}

namespace wire {

inet read_inet(const field_view& field) {
    return read(field, oids::inet, "bitdotio::inet");
}

cidr read_cidr(const field_view& field) {
    return {read(field, oids::cidr, "bitdotio::cidr")};
}

void write(std::string& out, const inet& value, bool is_network) {
    if (value.prefix > 8 * width(value)) {
        throw error(errc::bad_input,
                    "cannot bind an IPv4 address of more than 32 bits; is v6 to be set?");
    }
    out.push_back(static_cast<char>(value.v6 ? family_v6 : family_v4));
    out.push_back(static_cast<char>(value.prefix));
    out.push_back(is_network ? '\1' : '\0');
    out.push_back(static_cast<char>(width(value)));
    out.append(reinterpret_cast<const char*>(value.octets.data()), width(value));
}

}  // namespace wire

}  // namespace bitdotio
