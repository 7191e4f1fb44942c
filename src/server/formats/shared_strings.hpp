// The texts that the sheets of a workbook share.
#pragma once

#include <bitdotio/error.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace bitdotio {

/// The texts that all sheets share. They are kept in blocks, so that growing never takes twice the
/// memory.
///
/// Errors: errc::bad_input naming the format.
class shared_strings {
public:
    explicit shared_strings(const char* format) : format_(format) {}

    void add(std::string_view text) {
        if (places_.size() == most_strings) {
            throw damaged("it has more than 10,000,000 shared texts");
        }
        size_ += text.size();
        if (size_ > most_string_bytes) throw damaged("its shared texts have more than 256 MiB");
        if (blocks_.empty() || blocks_.back().size() + text.size() > block_size) {
            blocks_.emplace_back().reserve(block_size);
        }
        place_in_block place;
        place.block = static_cast<std::uint32_t>(blocks_.size() - 1);
        place.begin = static_cast<std::uint32_t>(blocks_.back().size());
        blocks_.back().append(text);
        places_.push_back(place);
    }

    std::string_view get(std::size_t index) const {
        if (index >= places_.size()) throw damaged("a cell refers to a text that is not there");
        const auto [block, begin] = places_[index];
        const std::string_view whole = blocks_[block];
        const bool last = index + 1 == places_.size() || places_[index + 1].block != block;
        return whole.substr(begin, (last ? whole.size() : places_[index + 1].begin) - begin);
    }

private:
    error damaged(const std::string& why) const {
        return error(errc::bad_input, std::string("the ") + format_ + " file is damaged: " + why);
    }

    static constexpr std::size_t block_size = 1024 * 1024;
    static constexpr std::size_t most_strings = 10'000'000;
    static constexpr std::size_t most_string_bytes = 256 * 1024 * 1024;
    struct place_in_block {
        std::uint32_t block = 0;
        std::uint32_t begin = 0;
    };

    const char* const format_;
    std::deque<std::string> blocks_;
    std::deque<place_in_block> places_;
    std::size_t size_ = 0;
};

}  // namespace bitdotio
