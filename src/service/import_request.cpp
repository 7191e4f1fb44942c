// Fields as parts, or as names and values.
#include "service/import_request.hpp"
#include "service/job_codec.hpp"

#include <utility>
#include <vector>

namespace bitdotio::api {

namespace {

using fields = std::vector<std::pair<std::string_view, std::string>>;

fields fields_of(const import_options& options) {
    return {{"table_name", options.table_name},
            {"schema_name", options.schema_name},
            {"infer_header", std::string(name_of(options.header))}};
}

std::string escaped(std::string_view text, bool everything) {
    constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto octet = static_cast<unsigned char>(c);
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                           (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_';
        if (everything ? plain : c != '"' && c != '\r' && c != '\n') {
            out.push_back(c);
        } else {
            out += {'%', digits[octet >> 4], digits[octet & 15]};
        }
    }
    return out;
}

}  // namespace

import_request encode_import(const import_options& options, std::string_view file_name,
                             std::uint64_t chance) {
    const std::string boundary = "bitdotio-" + std::to_string(chance) + "-boundary";
    import_request request;
    request.content_type = "multipart/form-data; boundary=" + boundary;
    const std::string part = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"";
    for (const auto& [name, value] : fields_of(options)) {
        request.before += part + std::string(name) + "\"\r\n\r\n" + value + "\r\n";
    }
    // As browsers escape it.
    request.before += part + "file\"; filename=\"" + escaped(file_name, false) +
                      "\"\r\nContent-Type: application/octet-stream\r\n\r\n";
    request.after = "\r\n--" + boundary + "--\r\n";
    return request;
}

std::string encode_import(const import_options& options, std::string_view url) {
    std::string body = "file_url=" + escaped(url, true);
    for (const auto& [name, value] : fields_of(options)) {
        body += "&" + std::string(name) + "=" + escaped(value, true);
    }
    return body;
}

}  // namespace bitdotio::api
