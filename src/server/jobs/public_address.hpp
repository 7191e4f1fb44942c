// Tells which addresses belong to the public internet. No I/O.
#pragma once

#include <boost/asio/ip/address.hpp>

namespace bitdotio {

/// Whether the address is globally reachable unicast: not private, loopback, link-local, shared,
/// multicast, reserved or for documentation, and not one that wraps such an address.
///
/// See: RFC 6890 and IANA's special-purpose address registries.
bool is_public(const boost::asio::ip::address& address);

}  // namespace bitdotio
