// Reads and writes files with blocking calls, a piece at a time.
#include "service/file_transfer.hpp"

#include <bitdotio/error.hpp>

#include "base/blocking.hpp"

#include <boost/asio/strand.hpp>

#include <fcntl.h>
#include <unistd.h>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <utility>

namespace bitdotio {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t file_piece = 256 * 1024;

struct close_file {
    void operator()(std::FILE* file) const { std::fclose(file); }
};
using file_handle = std::unique_ptr<std::FILE, close_file>;

error failed(errc code, const char* what, const fs::path& file) {
    return error(code,
                 std::string("cannot ") + what + " " + file.string() + ": " + std::strerror(errno))
        .with(outcome::not_executed);
}

// C would end the name there, and another file be read or written.
void check_name(const fs::path& file) {
    if (file.native().find('\0') != std::string::npos) {
        throw error(errc::bad_input, "the name of a file contains a zero byte");
    }
}

// Shared by the work on a thread and its waiter, which may give it up.
struct reading {
    fs::path file;
    file_handle handle;
    std::string piece;

    void read() {
        check_name(file);
        if (!handle) handle.reset(std::fopen(file.c_str(), "rbe"));
        if (!handle) throw failed(errc::bad_input, "read", file);
        piece.resize(file_piece);
        piece.resize(std::fread(piece.data(), 1, piece.size(), handle.get()));
        if (std::ferror(handle.get())) throw failed(errc::bad_input, "read", file);
    }
};

class file_source final : public body_source {
public:
    file_source(fs::path file, std::string before, std::string after)
        : state_(std::make_shared<reading>()),
          before_(std::move(before)),
          after_(std::move(after)) {
        std::error_code failure;
        const std::uintmax_t size = fs::file_size(file, failure);
        if (failure) {
            throw error(errc::bad_input, "cannot read " + file.string() + ": " + failure.message())
                .with(outcome::not_sent);
        }
        size_ = before_.size() + size + after_.size();
        state_->file = std::move(file);
    }

    std::uint64_t size() const override { return size_; }

    asio::awaitable<std::string> next() override {
        if (!before_.empty()) co_return std::exchange(before_, {});
        if (!over_) {
            std::function<void()> work = [state = state_] { state->read(); };
            co_await run_blocking(work);
            if (!state_->piece.empty()) co_return std::exchange(state_->piece, {});
            over_ = true;
        }
        co_return std::exchange(after_, {});
    }

private:
    std::shared_ptr<reading> state_;
    std::string before_;
    std::string after_;
    std::uint64_t size_ = 0;
    bool over_ = false;
};

struct writing {
    fs::path file;
    fs::path beside;
    file_handle handle;

    ~writing() {
        handle.reset();
        if (!beside.empty()) std::remove(beside.c_str());
    }

    void write(const std::string& piece) {
        if (!handle) {
            check_name(file);
            open();
        }
        if (!handle || std::fwrite(piece.data(), 1, piece.size(), handle.get()) != piece.size()) {
            throw failed(errc::system_failed, "write", beside.empty() ? file : beside);
        }
    }

    // A file that nobody else has, neither another download to the same place nor a user.
    void open() {
        // A device or a pipe, such as /dev/null, is written to, never replaced.
        std::error_code absent;
        if (fs::exists(file, absent) && !fs::is_regular_file(file, absent)) {
            handle.reset(std::fopen(file.c_str(), "wb"));
            return;
        }
        std::random_device chance;
        for (int tries = 0; tries < 100; ++tries) {
            const fs::path candidate = file.string() + "." + std::to_string(chance()) + ".part";
            const int made =
                ::open(candidate.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
            if (made < 0 && errno == EEXIST) continue;
            if (made < 0) throw failed(errc::system_failed, "write", file);
            beside = candidate;
            handle.reset(::fdopen(made, "wb"));
            if (!handle) ::close(made);
            return;
        }
    }

    void finish() {
        write("");
        if (std::fclose(handle.release()) != 0 ||
            (!beside.empty() && std::rename(beside.c_str(), file.c_str()) != 0)) {
            throw failed(errc::system_failed, "write", file);
        }
        beside.clear();
    }
};

class file_sink_impl final : public file_sink {
public:
    explicit file_sink_impl(fs::path file) : state_(std::make_shared<writing>()) {
        state_->file = std::move(file);
    }

    asio::awaitable<void> write(std::string piece) override {
        std::function<void()> work = [state = state_, piece = std::move(piece)] {
            state->write(piece);
        };
        co_await run_blocking(work);
    }

    asio::awaitable<void> finish() override {
        std::function<void()> work = [state = state_] { state->finish(); };
        co_await run_blocking(work);
    }

private:
    std::shared_ptr<writing> state_;
};

}  // namespace

std::shared_ptr<body_source> make_file_source(fs::path file, std::string before,
                                              std::string after) {
    return std::make_shared<file_source>(std::move(file), std::move(before), std::move(after));
}

std::shared_ptr<file_sink> make_file_sink(fs::path file) {
    return std::make_shared<file_sink_impl>(std::move(file));
}

}  // namespace bitdotio
