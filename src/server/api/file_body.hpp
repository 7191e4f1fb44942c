// Sends a part of a file as the body of an answer.
#pragma once

#include "server/api/http_listener.hpp"
#include "server/api/http_range.hpp"
#include "server/jobs/worker_threads.hpp"

#include <bitdotio/error.hpp>

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

namespace bitdotio {

/// Reads on other threads, a piece at a time. The file may be removed meanwhile.
class file_body final : public body_stream {
public:
    /// Opens the file. It blocks.
    ///
    /// Errors: errc::not_found if the file is not there.
    file_body(std::shared_ptr<worker_threads> threads, const std::filesystem::path& file,
              byte_range part)
        : threads_(std::move(threads)),
          part_(part),
          descriptor_(::open(file.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (descriptor_ < 0) throw error(errc::not_found, "the file is no longer here");
    }
    ~file_body() override { ::close(descriptor_); }

    asio::awaitable<std::string> next() override {
        std::string piece(
            static_cast<std::size_t>(std::min<std::uint64_t>(part_.length, 256 * 1024)), '\0');
        std::function<void()> work = [&] { read(piece); };
        if (!piece.empty()) co_await threads_->run(work);
        part_.begin += piece.size();
        part_.length -= piece.size();
        co_return piece;
    }

private:
    void read(std::string& piece) const {
        ssize_t got = 0;
        do {
            got = ::pread(descriptor_, piece.data(), piece.size(), static_cast<off_t>(part_.begin));
        } while (got < 0 && errno == EINTR);
        if (got < 0) {
            throw error(errc::system_failed,
                        std::string("a file cannot be read: ") + std::strerror(errno));
        }
        piece.resize(static_cast<std::size_t>(got));
    }

    std::shared_ptr<worker_threads> threads_;
    byte_range part_;
    int descriptor_;
};

}  // namespace bitdotio
