// What the environment and the files of libpq add to connect options.
#pragma once

#include <string>

namespace bitdotio {

/// A password file as it was read, or why it was not.
struct password_file {
    password_file() = default;

    std::string text;
    /// A sentence that names the file, if it is ignored for who may read it; else empty. A file
    /// that is not there is none.
    std::string ignored;
};

/// Reads a password file. It blocks.
password_file read_password_file(const std::string& path);

}  // namespace bitdotio
