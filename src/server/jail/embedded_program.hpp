// The program that reads files in a jail, as bytes in this library.
#pragma once

#include <string_view>

namespace bitdotio {

/// An executable for Linux, made from src/import_reader. A library has no place of its own on the
/// disk of its users, so it brings the program with it.
std::string_view embedded_import_reader() noexcept;

}  // namespace bitdotio
