// Microsoft's container of streams (OLE2, "compound file"), which XLS files are.
#pragma once

#include <bitdotio/error.hpp>

#include "server/formats/input_file.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

/// The streams of a compound file that lie in its root storage. Its memory is that of its table of
/// sectors, less than a hundredth of the file's size, and what is read.
///
/// Errors: errc::bad_input if the file is damaged: a chain of sectors that leads nowhere, or in a
///     circle, is refused.
/// See: [MS-CFB].
class compound_file {
public:
    explicit compound_file(input_handle file);

    /// Whether there is a stream of that name, in ASCII; case makes no difference.
    bool has(std::string_view name) const;

    /// All of a stream, which `has` must know.
    std::string read(std::string_view name) const;

private:
    struct place {
        std::uint32_t first = 0;
        std::uint64_t size = 0;
    };
    enum class length { given, of_chain };

    std::uint64_t offset_of(std::uint32_t sector) const noexcept {
        return (std::uint64_t{sector} + 1) << shift_;
    }
    std::string sector(std::uint32_t number) const;
    void read_table(std::string_view header);
    void read_directory(std::string_view directory);
    std::string read_chain(std::uint32_t first, std::uint64_t size, length how) const;
    std::string read_small(const place& from) const;

    const input_handle file_;
    unsigned shift_ = 0;  ///< a sector has 2 to the power of so many bytes
    std::uint64_t sectors_ = 0;
    std::uint64_t size_of_small_ = 0;  ///< streams of fewer bytes lie in the mini stream
    std::vector<std::uint32_t> next_;  ///< the FAT: the sector after each sector
    std::uint32_t first_of_small_table_ = 0;
    place small_;  ///< the mini stream
    std::map<std::string, place, std::less<>> streams_;
};

}  // namespace bitdotio
