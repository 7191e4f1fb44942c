// IANA's address registries as tables.
#include "server/jobs/public_address.hpp"

#include <algorithm>
#include <cstdint>

namespace bitdotio {

namespace {

struct block {
    std::uint32_t begin;
    int bits;
};

constexpr block not_public[] = {
    {0x00000000, 8},   // this network
    {0x0a000000, 8},   // private
    {0x64400000, 10},  // shared by carriers
    {0x7f000000, 8},   // loopback
    {0xa9fe0000, 16},  // link-local, where clouds keep their metadata
    {0xac100000, 12},  // private
    {0xc0000000, 24},  // protocol assignments
    {0xc0000200, 24},  // documentation
    {0xc0586300, 24},  // 6to4 relays
    {0xc0a80000, 16},  // private
    {0xc6120000, 15},  // benchmarks
    {0xc6336400, 24},  // documentation
    {0xcb007100, 24},  // documentation
    {0xe0000000, 4},   // multicast
    {0xf0000000, 4},   // reserved, broadcast
};

}  // namespace

bool is_public(const boost::asio::ip::address& address) {
    if (address.is_v4()) {
        const std::uint32_t number = address.to_v4().to_uint();
        return std::none_of(std::begin(not_public), std::end(not_public), [&](const block& each) {
            return (number ^ each.begin) >> (32 - each.bits) == 0;
        });
    }
    const auto octets = address.to_v6().to_bytes();
    const auto group = [&](std::size_t i) {
        return static_cast<unsigned>(octets[2 * i]) << 8 | octets[2 * i + 1];
    };
    // Global unicast is 2000::/3; loopback, mapped, translated, local and multicast ones are not.
    if (group(0) >> 13 != 1) return false;
    if (group(0) == 0x2001 && group(1) < 0x0200) return false;   // Teredo and other protocols
    if (group(0) == 0x2001 && group(1) == 0x0db8) return false;  // documentation
    if (group(0) == 0x2002) return false;                        // 6to4, which wraps any v4
    return group(0) != 0x3fff || group(1) >= 0x1000;             // documentation
}

}  // namespace bitdotio
