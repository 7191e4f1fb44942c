// Encodes fields as parts of a form, or as names and values.
#include "service/import_request.hpp"
#include "base/percent_encoding.hpp"
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

// Escapes a file's name as browsers do.
std::string escaped_name(std::string_view name) {
    std::string escaped;
    for (const char c : name) {
        const bool plain = c != '"' && c != '\r' && c != '\n';
        escaped += plain ? std::string(1, c) : percent_escape(c);
    }
    return escaped;
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
    request.before += part + "file\"; filename=\"" + escaped_name(file_name) +
                      "\"\r\nContent-Type: application/octet-stream\r\n\r\n";
    request.after = "\r\n--" + boundary + "--\r\n";
    return request;
}

std::string encode_import(const import_options& options, std::string_view url) {
    std::string body = "file_url=" + percent_encoded(url);
    for (const auto& [name, value] : fields_of(options)) {
        body += "&" + std::string(name) + "=" + percent_encoded(value);
    }
    return body;
}

}  // namespace bitdotio::api
