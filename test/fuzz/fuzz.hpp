// What all fuzz targets share: the input taken apart, and promises that end the run when broken.
#pragma once

#include <bitdotio/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <string_view>

namespace fuzz {

/// Ends the run unless `holds`: libFuzzer takes that for a crash and keeps the input.
inline void require(bool holds, const char* promise) {
    if (holds) return;
    std::fprintf(stderr, "broken promise: %s\n", promise);
    std::abort();
}

/// Runs `read`. Returns false if it refused its input with one of the codes; another error, or
/// another exception, is a bug.
template <class Read>
bool reads(std::initializer_list<bitdotio::errc> refusals, Read&& read) {
    try {
        read();
        return true;
    } catch (const bitdotio::error& failure) {
        if (std::find(refusals.begin(), refusals.end(), failure.code()) == refusals.end()) {
            std::fprintf(stderr, "unexpected: %s\n", failure.what());
            std::abort();
        }
        return false;
    }
}

/// The bytes of one run, taken from their front. They lie in memory of exactly their size, so that
/// the sanitizer sees one step too far.
class input {
public:
    input(const std::uint8_t* data, std::size_t size)
        : rest_(reinterpret_cast<const char*>(data), size) {}

    bool empty() const { return rest_.empty(); }
    std::string_view rest() const { return rest_; }

    /// The next octet, counted from 'A' so that seeds are legible; 0 at the end.
    std::size_t letter(std::size_t end) {
        if (rest_.empty()) return 0;
        const auto octet = static_cast<std::uint8_t>(rest_.front() - 'A');
        rest_.remove_prefix(1);
        return octet % end;
    }

    /// What stands before the next `mark`, which is taken away too; at the end all that is left.
    std::string_view until(char mark) {
        const std::size_t end = std::min(rest_.find(mark), rest_.size());
        const std::string_view taken = rest_.substr(0, end);
        rest_.remove_prefix(std::min(end + 1, rest_.size()));
        return taken;
    }

private:
    std::string_view rest_;
};

}  // namespace fuzz
