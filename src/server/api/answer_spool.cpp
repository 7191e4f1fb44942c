// Writes to a file that has no name.
#include "server/api/answer_spool.hpp"

#include <bitdotio/error.hpp>

#include "service/answer_limit.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

namespace bitdotio {

namespace {

[[noreturn]] void spool_failed(const char* what) {
    throw error(errc::system_failed,
                std::string("an answer cannot be ") + what + " a file: " + std::strerror(errno));
}

}  // namespace

bool answer_budget::take(std::uint64_t size) noexcept {
    const std::uint64_t before = used_.fetch_add(size, std::memory_order_relaxed);
    if (size <= most_ && before <= most_ - size) return true;
    give_back(size);
    return false;
}

answer_spool::~answer_spool() {
    if (file_ >= 0) ::close(file_);
    give_back();
}

void answer_spool::give_back() noexcept {
    if (room_) room_->give_back(std::exchange(taken_, 0));
}

void answer_spool::write(std::string_view piece) {
    if (piece.size() > most_ - std::min(size(), most_)) {
        throw error(errc::result_too_large, answer_too_long(most_));
    }
    if (waiting_.size() + piece.size() > in_memory) flush();
    waiting_ += piece;
}

void answer_spool::clear() {
    waiting_.clear();
    if (std::exchange(filed_, 0) > 0 && ::ftruncate(file_, 0) != 0) spool_failed("taken out of");
    give_back();
}

// Files of this kind are as old as Linux 3.11; some file systems of a network do not have them.
void answer_spool::open() {
    file_ = ::open(directory_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file_ >= 0) return;
    std::string name = (directory_ / "answer-XXXXXX").string();
    file_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (file_ < 0) spool_failed("put into");
    ::unlink(name.c_str());
}

void answer_spool::flush() {
    if (room_ && !room_->take(waiting_.size())) {
        throw error(errc::server_busy,
                    "the answers that wait on the server's disk have no more room, " +
                        std::to_string(room_->most()) +
                        " bytes together: try again later, or ask for less at once");
    }
    if (room_) taken_ += waiting_.size();
    if (file_ < 0) open();
    std::string_view left = waiting_;
    while (!left.empty()) {
        const ssize_t written =
            ::pwrite(file_, left.data(), left.size(), static_cast<off_t>(filed_));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) spool_failed("put into");
        left.remove_prefix(static_cast<std::size_t>(written));
        filed_ += static_cast<std::uint64_t>(written);
    }
    waiting_.clear();
}

std::string answer_spool::read(std::uint64_t from, std::size_t most) {
    if (from >= filed_) {
        const auto at = static_cast<std::size_t>(from - filed_);
        return waiting_.substr(std::min(at, waiting_.size()), most);
    }
    std::string piece(static_cast<std::size_t>(std::min<std::uint64_t>(most, filed_ - from)), '\0');
    ssize_t got = 0;
    do {
        got = ::pread(file_, piece.data(), piece.size(), static_cast<off_t>(from));
    } while (got < 0 && errno == EINTR);
    if (got < 0) spool_failed("read from");
    piece.resize(static_cast<std::size_t>(got));
    return piece;
}

}  // namespace bitdotio
