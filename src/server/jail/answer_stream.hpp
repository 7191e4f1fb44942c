// Reads what a process in the jail answers, and believes none of it.
#pragma once

#include <bitdotio/error.hpp>

#include "server/formats/cell.hpp"
#include "server/jail/row_protocol.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace bitdotio {

/// The answers on a socket, piece by piece. A stranger's file may have taken over the process that
/// writes them, so every number is checked before memory is spent on it, and every text is UTF-8.
///
/// Errors: all functions throw errc::bad_input for an answer that is none; what `broken` returns
///     when the socket ends; what `late` returns when all waiting together took too long.
/// Thread safety: one thread at a time; it blocks.
class answer_stream {
public:
    /// Makes the error that says what became of the process.
    using failure = std::function<std::exception_ptr()>;

    answer_stream(int socket, std::chrono::milliseconds longest, failure broken, failure late)
        : socket_(socket), left_(longest), broken_(std::move(broken)), late_(std::move(late)) {}

    /// What is thrown for an answer that is none.
    static error nonsense();

    void ask(row_protocol::ask what, std::uint32_t table = 0);

    row_protocol::answer next() { return static_cast<row_protocol::answer>(number<char>()); }
    /// A list of names is appended; it must not have more than `most` then.
    void names(std::vector<std::string>& into, std::size_t most);
    std::string text(std::size_t longest);
    row_protocol::why why() { return static_cast<row_protocol::why>(number<char>()); }
    /// A row: returns its number. `read` grows by the bytes of its texts.
    std::uint64_t row(cells& into, std::uint64_t& read);

private:
    template <class Value>
    Value number() {
        Value value{};
        take(reinterpret_cast<char*>(&value), sizeof value);
        return value;
    }
    void text_into(std::string& into, std::size_t size);
    void take(char* into, std::size_t size);
    std::size_t receive(char* into, std::size_t most);

    int socket_;
    std::chrono::nanoseconds left_;
    failure broken_;
    failure late_;
    std::string buffer_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

}  // namespace bitdotio
