// std::source_location for clang 14, which has not the builtin that libstdc++ makes it of.
#pragma once

#include <cstdint>
#include <version>

#ifndef __cpp_lib_source_location
namespace std {
struct source_location {
    static constexpr source_location current() noexcept { return {}; }
    constexpr uint_least32_t line() const noexcept { return 0; }
    constexpr uint_least32_t column() const noexcept { return 0; }
    constexpr const char* file_name() const noexcept { return ""; }
    constexpr const char* function_name() const noexcept { return ""; }
};
}  // namespace std
#endif
