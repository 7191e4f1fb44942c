// Parses web addresses: http:// and https://, nothing else.
#include "base/percent_encoding.hpp"
#include "server/formats/job_failure.hpp"
#include "server/jobs/url_fetch.hpp"

#include <algorithm>
#include <charconv>

namespace bitdotio {

namespace {

job_failure malformed(const std::string& why) {
    return job_failure("download_failed", "the file_url cannot be fetched: " + why);
}

}  // namespace

web_address web_address::parse(const std::string& url) {
    web_address address;
    std::string rest;
    if (url.starts_with("https://")) {
        address.secure = true;
        rest = url.substr(8);
    } else if (url.starts_with("http://")) {
        rest = url.substr(7);
    } else {
        throw malformed("it must begin with http:// or https://");
    }
    const bool odd = std::any_of(rest.begin(), rest.end(), [](char c) {
        return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '\\';
    });
    if (odd) throw malformed("it has a space, a backslash or a control character");
    rest.resize(std::min(rest.find('#'), rest.size()));
    const std::size_t path = rest.find_first_of("/?");
    if (path != std::string::npos) {
        address.target = (rest[path] == '?' ? "/" : "") + rest.substr(path);
        rest.resize(path);
    }
    if (rest.find('@') != std::string::npos) throw malformed("it must not have a user");
    address.port = address.secure ? "443" : "80";
    const std::size_t bracket = rest.find(']');
    const std::size_t colon = rest.find(':', bracket == std::string::npos ? 0 : bracket);
    if (colon != std::string::npos) {
        address.port = rest.substr(colon + 1);
        std::uint16_t number = 0;
        const char* end = address.port.data() + address.port.size();
        const auto read = std::from_chars(address.port.data(), end, number);
        if (read.ec != std::errc() || read.ptr != end || number == 0) {
            throw malformed("its port is not a number from 1 to 65535");
        }
        rest.resize(colon);
    }
    if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
    if (rest.empty()) throw malformed("it has no host");
    address.host = rest;
    return address;
}

web_address web_address::redirected(const std::string& location) const {
    if (location.find("://") != std::string::npos) return parse(location);
    const std::string scheme = secure ? "https:" : "http:";
    if (location.starts_with("//")) return parse(scheme + location);
    web_address next = *this;
    const std::size_t end = std::min(location.find('#'), location.size());
    if (location.starts_with('/')) {
        next.target = location.substr(0, end);
    } else {
        const std::string path = target.substr(0, target.find('?'));
        next.target = path.substr(0, path.rfind('/') + 1) + location.substr(0, end);
    }
    const bool odd = std::any_of(next.target.begin(), next.target.end(),
                                 [](char c) { return static_cast<unsigned char>(c) <= 0x20; });
    if (odd) throw malformed("a redirect has a space or a control character");
    return next;
}

std::string web_address::file_name() const {
    const std::string path = target.substr(0, target.find('?'));
    return percent_decoded(path.substr(path.rfind('/') + 1));
}

}  // namespace bitdotio
