// Files of this machine as HTTP bodies, read and written on threads for blocking work.
#pragma once

#include "service/https_session.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace bitdotio {

/// A file between two texts: the body of a form.
///
/// Errors: errc::bad_input naming the file if it cannot be read, also from `next`.
std::shared_ptr<body_source> make_file_source(std::filesystem::path file, std::string before,
                                              std::string after);

/// A file that takes a body. It is written beside its place until `finish`, under a name that no
/// other file has, and removed without it.
class file_sink : public body_sink {
public:
    /// Puts it where it belongs.
    ///
    /// Errors: errc::system_failed naming the file, as `write`.
    virtual asio::awaitable<void> finish() = 0;
};
std::shared_ptr<file_sink> make_file_sink(std::filesystem::path file);

}  // namespace bitdotio
