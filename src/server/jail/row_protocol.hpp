// What the server and the process that reads a file say to each other.
#pragma once

#include <cstdint>

namespace bitdotio::row_protocol {

// Both are one build on one machine: numbers are as they are in memory.

/// What the server asks: a command, and the number of a table.
enum class ask : char {
    open = 'o',  ///< begin the table; answered by `opened` and `names`, or `failure`
    rows = 'r',  ///< the next rows; answered by `names` and `row`, then `pause`, `end` or `failure`
};
struct question {
    ask what = ask::rows;
    char unused[3] = {};
    std::uint32_t table = 0;
};

/// What the process answers. A text is its size in 32 bits, and its bytes.
enum class answer : char {
    tables = 'T',  ///< first of all: their count in 32 bits, their names
    opened = 'O',  ///< the words around a row's number
    names = 'N',   ///< further columns: their count in 32 bits, their names
    row = 'R',  ///< its number in 64 bits, the count of its cells in 32, for each its kind and text
    pause = 'P',    ///< there may be more rows
    end = 'E',      ///< there are no more
    failure = 'F',  ///< a `why`, and words for people; nothing comes after it
};

enum class why : char {
    bad_file = 'b',
    memory = 'm',
    system = 's',  ///< the machine's fault, not the file's
};

/// Rows are handed on when they have as many bytes together.
inline constexpr std::uint32_t batch = 256 * 1024;
/// Words for people, in bytes.
inline constexpr std::uint32_t longest_words = 2'000;

/// The memory of the process, and its processor time: seconds to begin with, and one for each of so
/// many bytes of the file.
inline constexpr std::uint64_t most_memory = std::uint64_t{1} << 30;
inline constexpr std::uint64_t least_seconds = 20;
inline constexpr std::uint64_t bytes_for_a_second = std::uint64_t{1} << 20;

constexpr std::uint64_t seconds_for(std::uint64_t file_size) noexcept {
    return least_seconds + file_size / bytes_for_a_second;
}

}  // namespace bitdotio::row_protocol
