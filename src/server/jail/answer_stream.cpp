// Checks first, then reads.
#include "server/jail/answer_stream.hpp"

#include "server/formats/import_limits.hpp"
#include "server/formats/utf8.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <algorithm>
#include <cerrno>
#include <cstring>

namespace bitdotio {

namespace {

constexpr std::size_t buffer_size = 256 * 1024;

}  // namespace

error answer_stream::nonsense() {
    return error(errc::bad_input, "the file is damaged: its reader answered nonsense");
}

void answer_stream::ask(row_protocol::ask what, std::uint32_t table) {
    row_protocol::question question;
    question.what = what;
    question.table = table;
    // Small, and few of them are under way: it never waits.
    if (::send(socket_, &question, sizeof question, MSG_NOSIGNAL | MSG_DONTWAIT) !=
        sizeof question) {
        // What the process has said before it ended is still there, such as why.
        return;
    }
}

void answer_stream::names(std::vector<std::string>& into, std::size_t most) {
    const auto count = number<std::uint32_t>();
    if (count > most || into.size() + count > most) throw nonsense();
    for (std::uint32_t i = 0; i < count; ++i)
        into.push_back(text(longest_name));
}

std::string answer_stream::text(std::size_t longest) {
    const auto size = number<std::uint32_t>();
    if (size > longest) throw nonsense();
    std::string text;
    text_into(text, size);
    return text;
}

std::uint64_t answer_stream::row(cells& into, std::uint64_t& read) {
    const auto place = number<std::uint64_t>();
    const auto count = number<std::uint32_t>();
    if (count > most_columns) throw nonsense();
    into.resize(count);
    std::size_t left = longest_row;
    for (cell& each : into) {
        const auto kind = number<std::uint8_t>();
        const auto size = number<std::uint32_t>();
        if (kind > static_cast<std::uint8_t>(cell_kind::json) || size > left) throw nonsense();
        each.clear();
        each.kind = static_cast<cell_kind>(kind);
        if (each.kind == cell_kind::null && size > 0) throw nonsense();
        text_into(each.text, size);
        left -= size;
    }
    read += longest_row - left;
    return place;
}

void answer_stream::text_into(std::string& into, std::size_t size) {
    into.resize(size);
    take(into.data(), size);
    if (!is_text(into)) throw nonsense();
}

void answer_stream::take(char* into, std::size_t size) {
    while (size > 0) {
        if (begin_ == end_ && size >= buffer_size) {
            const std::size_t got = receive(into, size);
            into += got;
            size -= got;
            continue;
        }
        if (begin_ == end_) {
            buffer_.resize(buffer_size);
            begin_ = 0;
            end_ = receive(buffer_.data(), buffer_size);
        }
        const std::size_t part = std::min(size, end_ - begin_);
        std::memcpy(into, buffer_.data() + begin_, part);
        begin_ += part;
        into += part;
        size -= part;
    }
}

std::size_t answer_stream::receive(char* into, std::size_t most) {
    using clock = std::chrono::steady_clock;
    while (true) {
        const ssize_t got = ::recv(socket_, into, most, MSG_DONTWAIT);
        if (got > 0) return static_cast<std::size_t>(got);
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            std::rethrow_exception(broken_());
        }
        if (left_.count() <= 0) std::rethrow_exception(late_());
        pollfd one{};
        one.fd = socket_;
        one.events = POLLIN;
        const clock::time_point before = clock::now();
        const auto wait = std::chrono::ceil<std::chrono::milliseconds>(left_);
        ::poll(&one, 1, static_cast<int>(std::min<std::int64_t>(wait.count(), 60'000)));
        left_ -= clock::now() - before;
    }
}

}  // namespace bitdotio
