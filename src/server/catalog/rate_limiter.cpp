// Finds the network of an address.
#include "server/catalog/rate_limiter.hpp"

#include <boost/asio/ip/address.hpp>

#include <algorithm>

namespace bitdotio {

std::string rate_limiter::network_of(std::string_view address) {
    namespace ip = boost::asio::ip;
    boost::system::error_code failure;
    const ip::address parsed = ip::make_address(std::string(address), failure);
    if (failure || !parsed.is_v6()) {
        return std::string(address);
    }
    if (parsed.to_v6().is_v4_mapped()) {
        return ip::make_address_v4(ip::v4_mapped, parsed.to_v6()).to_string();
    }
    ip::address_v6::bytes_type bytes = parsed.to_v6().to_bytes();
    std::fill(bytes.begin() + 8, bytes.end(), static_cast<unsigned char>(0));
    return ip::address_v6(bytes).to_string() + "/64";
}

}  // namespace bitdotio
