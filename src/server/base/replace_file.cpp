// Replaces a file: write, sync, rename, sync.
#include "server/base/replace_file.hpp"

#include <bitdotio/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

namespace bitdotio {

namespace {

error failed(const char* what, const std::filesystem::path& file) {
    return error(errc::system_failed,
                 std::string("cannot ") + what + " " + file.string() + ": " + std::strerror(errno));
}

bool write_all(int file, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(file, text.data(), text.size());
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return false;
        }
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

}  // namespace

void replace_file(const std::filesystem::path& file, std::string_view text, unsigned mode) {
    const std::filesystem::path fresh = file.string() + ".new";
    ::unlink(fresh.c_str());
    const int out = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0) {
        throw failed("make", fresh);
    }
    const bool done = write_all(out, text) && ::fchmod(out, mode) == 0 && ::fsync(out) == 0;
    if (!done || ::rename(fresh.c_str(), file.c_str()) != 0) {
        const error failure = failed("write", file);
        ::close(out);
        ::unlink(fresh.c_str());
        throw failure;
    }
    ::close(out);
    // The name must survive a crash too.
    const int directory = ::open(file.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool synced = directory >= 0 && ::fsync(directory) == 0;
    const int cause = errno;
    if (directory >= 0) {
        ::close(directory);
    }
    if (!synced) {
        errno = cause;
        throw failed("sync the directory of", file);
    }
}

std::optional<std::string> read_file(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    if (!in) {
        if (errno == ENOENT) {
            return std::nullopt;
        }
        throw failed("read", file);
    }
    std::string text(std::istreambuf_iterator<char>(in), {});
    if (in.bad()) {
        throw failed("read", file);
    }
    return text;
}

}  // namespace bitdotio
