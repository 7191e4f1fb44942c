// Follows chains of sectors, each at most once.
#include "server/formats/compound_file.hpp"
#include "server/formats/xls_bytes.hpp"

#include "base/ascii.hpp"

#include <algorithm>
#include <functional>
#include <utility>

namespace bitdotio {

namespace {

// See: [MS-CFB] 2.1.
constexpr std::uint32_t last_sector = 0xfffffffa;
constexpr std::uint32_t end_of_chain = 0xfffffffe;
constexpr std::uint32_t no_entry = 0xffffffff;

constexpr std::size_t header_size = 512;
constexpr std::size_t entry_size = 128;
constexpr std::size_t small_sector = 64;
constexpr std::size_t numbers_in_header = 109;

// The name of an entry of the directory in lower case; what is not ASCII becomes a question mark.
std::string name_of(std::string_view entry) {
    const std::size_t size = std::min<std::size_t>(number_at<std::uint16_t>(entry, 64), 64);
    std::string name;
    for (std::size_t i = 0; i + 2 < size; i += 2) {  // without the zero at its end
        const auto unit = number_at<std::uint16_t>(entry, i);
        name.push_back(unit > 0 && unit < 0x80 ? static_cast<char>(unit) : '?');
    }
    return ascii::to_lower(name);
}

}  // namespace

// See: [MS-CFB] 2.2, the header.
compound_file::compound_file(input_handle file) : file_(std::move(file)) {
    std::string header(header_size, '\0');
    if (file_->read_at(0, header.data(), header.size()) < header.size()) {
        throw malformed_xls("it ends within its header");
    }
    shift_ = number_at<std::uint16_t>(header, 30);
    if ((shift_ != 9 && shift_ != 12) || number_at<std::uint16_t>(header, 32) != 6) {
        throw malformed_xls("its sectors have a size that is not allowed");
    }
    const std::uint64_t sector_size = std::uint64_t{1} << shift_;
    // Some writers cut the last sector short.
    const std::uint64_t all = (file_->size() + sector_size - 1) >> shift_;
    sectors_ = std::min<std::uint64_t>(all > 0 ? all - 1 : 0, last_sector);
    size_of_small_ = number_at<std::uint32_t>(header, 56);
    first_of_small_table_ = number_at<std::uint32_t>(header, 60);
    read_table(header);
    read_directory(read_chain(number_at<std::uint32_t>(header, 48), 0, length::of_chain));
}

std::string compound_file::sector(std::uint32_t number) const {
    if (number >= sectors_) throw malformed_xls("a sector is beyond its end");
    std::string bytes(std::size_t{1} << shift_, '\0');
    file_->read_at(offset_of(number), bytes.data(), bytes.size());
    return bytes;
}

// The table's own sectors are listed in the header, and from there in a chain of lists. As many are
// read as the file has sectors for. See: [MS-CFB] 2.3, FAT; 2.5, DIFAT.
void compound_file::read_table(std::string_view header) {
    next_.reserve(sectors_);
    const auto take_list = [&](std::string_view list, std::size_t count) {
        for (std::size_t i = 0; i < count && next_.size() < sectors_; ++i) {
            const auto number = number_at<std::uint32_t>(list, i * 4);
            if (number > last_sector) continue;  // free
            const std::string part = sector(number);
            for (std::size_t k = 0; k < part.size() && next_.size() < sectors_; k += 4)
                next_.push_back(number_at<std::uint32_t>(part, k));
        }
    };
    take_list(header.substr(76), numbers_in_header);
    auto list = number_at<std::uint32_t>(header, 68);
    for (std::uint64_t lists = 0; next_.size() < sectors_ && list <= last_sector; ++lists) {
        if (lists == sectors_) throw malformed_xls("a chain of sectors is a circle");
        const std::string part = sector(list);
        take_list(part, part.size() / 4 - 1);
        list = number_at<std::uint32_t>(part, part.size() - 4);
    }
}

// Entries refer to each other as a tree; only what hangs from the root is looked at, because files
// that are embedded in this one have streams of the same names. See: [MS-CFB] 2.6.
void compound_file::read_directory(std::string_view directory) {
    const std::size_t count = directory.size() / entry_size;
    const auto entry = [&](std::size_t i) { return directory.substr(i * entry_size, entry_size); };
    const auto place_of = [&](std::string_view from) {
        place found;
        found.first = number_at<std::uint32_t>(from, 116);
        // Files with small sectors have no meaning for the upper half.
        found.size =
            shift_ == 9 ? number_at<std::uint32_t>(from, 120) : number_at<std::uint64_t>(from, 120);
        return found;
    };
    constexpr char stream = 2;
    constexpr char root = 5;
    if (count == 0 || entry(0)[66] != root) throw malformed_xls("it has no root");
    small_ = place_of(entry(0));
    std::vector<bool> seen(count);
    std::vector<std::uint32_t> waiting{number_at<std::uint32_t>(entry(0), 76)};
    while (!waiting.empty()) {
        const std::uint32_t number = waiting.back();
        waiting.pop_back();
        if (number == no_entry) continue;
        if (number >= count) throw malformed_xls("its directory refers beyond its end");
        if (seen[number]) throw malformed_xls("its directory is a circle");
        seen[number] = true;
        const std::string_view found = entry(number);
        if (found[66] == stream) streams_.emplace(name_of(found), place_of(found));
        waiting.push_back(number_at<std::uint32_t>(found, 68));
        waiting.push_back(number_at<std::uint32_t>(found, 72));
    }
}

bool compound_file::has(std::string_view name) const {
    return streams_.contains(ascii::to_lower(name));
}

std::string compound_file::read(std::string_view name) const {
    const place& from = streams_.at(ascii::to_lower(name));
    if (from.size < size_of_small_) return read_small(from);
    return read_chain(from.first, from.size, length::given);
}

std::string compound_file::read_chain(std::uint32_t first, std::uint64_t size, length how) const {
    if (size > file_->size()) throw malformed_xls("a stream is larger than the file");
    const bool all = how == length::of_chain;
    const std::size_t sector_size = std::size_t{1} << shift_;
    std::string bytes;
    bytes.reserve(size);
    std::vector<bool> seen(next_.size());
    for (std::uint32_t at = first; all ? at != end_of_chain : bytes.size() < size; at = next_[at]) {
        if (at >= next_.size()) throw malformed_xls("a chain of sectors leads nowhere");
        if (seen[at]) throw malformed_xls("a chain of sectors is a circle");
        seen[at] = true;
        const std::size_t before = bytes.size();
        const std::size_t wanted =
            all ? sector_size
                : static_cast<std::size_t>(std::min<std::uint64_t>(sector_size, size - before));
        bytes.resize(before + wanted);
        if (file_->read_at(offset_of(at), bytes.data() + before, wanted) < wanted && !all) {
            throw malformed_xls("it ends within a stream");
        }
    }
    return bytes;
}

// Small streams lie in sectors of 64 bytes within the mini stream, whose chains are a table of
// their own. See: [MS-CFB] 2.4, mini FAT.
std::string compound_file::read_small(const place& from) const {
    const std::string whole = read_chain(small_.first, small_.size, length::given);
    const std::string table = read_chain(first_of_small_table_, 0, length::of_chain);
    std::vector<bool> seen(table.size() / 4);
    std::string bytes;
    for (std::uint32_t at = from.first; bytes.size() < from.size;
         at = number_at<std::uint32_t>(table, std::size_t{at} * 4)) {
        const std::size_t begin = std::size_t{at} * small_sector;
        if (at >= seen.size() || begin >= whole.size()) {
            throw malformed_xls("a chain of sectors leads nowhere");
        }
        if (seen[at]) throw malformed_xls("a chain of sectors is a circle");
        seen[at] = true;
        bytes.append(whole, begin, std::min<std::size_t>(small_sector, from.size - bytes.size()));
    }
    return bytes;
}

}  // namespace bitdotio
