// Addresses of files, and where redirects of them lead.
#include "base/http_url.hpp"
#include "base/percent_encoding.hpp"
#include "server/formats/job_failure.hpp"
#include "server/jobs/url_fetch.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio {

namespace {

job_failure malformed(const std::string& why) {
    return job_failure("download_failed", "the file_url cannot be fetched: " + why);
}

}  // namespace

web_address web_address::parse(const std::string& url) {
    try {
        http_url found = http_url::parse(url);
        web_address address;
        address.secure = found.secure;
        address.host = std::move(found.host);
        address.port = std::to_string(found.port);
        address.target = std::move(found.target);
        return address;
    } catch (const error& failure) {
        throw malformed(failure.what());
    }
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
