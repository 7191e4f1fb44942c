// The forms that start an import. No I/O.
#pragma once

#include <bitdotio/jobs.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace bitdotio::api {

/// A multipart form around a file: the text before it and after it.
struct import_request {
    std::string content_type;
    std::string before;
    std::string after;
};

/// Parameters: `chance` is a random number, so that nobody can have put the boundary into the file.
import_request encode_import(const import_options& options, std::string_view file_name,
                             std::uint64_t chance);

/// The same form for a file the service fetches itself; its type is
/// application/x-www-form-urlencoded.
std::string encode_import(const import_options& options, std::string_view url);

}  // namespace bitdotio::api
