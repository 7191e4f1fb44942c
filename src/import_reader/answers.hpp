// Writes answers to the server: see row_protocol.
#pragma once

#include "server/formats/cell.hpp"
#include "server/formats/table_reader.hpp"
#include "server/jail/row_protocol.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdotio {

/// Answers on one descriptor. The process ends if nobody reads them.
///
/// Thread safety: one thread at a time.
class answers {
public:
    explicit answers(int descriptor) : descriptor_(descriptor) {}

    void tables(const std::vector<table_source>& all);
    void opened(const table_reader& reader);
    /// Names from `first` on.
    void names(const std::vector<std::string>& all, std::size_t first);
    void row(std::uint64_t number, const cells& row);
    void plain(row_protocol::answer what) { put(what); }
    void failure(row_protocol::why what, std::string_view words);

    void flush();
    /// The bytes of rows since the last call.
    std::size_t take_size() { return std::exchange(size_, 0); }

private:
    template <class Value>
    void put(Value value) {
        waiting_.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    void put_text(std::string_view text);
    void write_all(std::string_view bytes);

    int descriptor_;
    std::string waiting_;
    std::size_t size_ = 0;
};

}  // namespace bitdotio
