// What tests look for in output, in errors and in files.
#pragma once

#include <bitdotio/error.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace test {

inline bool mentions(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

inline bool mentions(const bitdotio::error& failure, const std::string& part) {
    return mentions(std::string(failure.what()), part);
}

/// All bytes of a file; nothing if there is none.
inline std::string contents(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace test
