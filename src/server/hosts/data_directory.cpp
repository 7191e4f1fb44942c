// Makes, locks and removes the data directory.
#include "server/hosts/data_directory.hpp"

#include <bitdotio/error.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

namespace bitdotio {

namespace {

error failed(const std::filesystem::path& path, const char* what, int cause) {
    return error(errc::system_failed, "the data directory " + path.string() + " cannot be " + what +
                                          ": " + std::strerror(cause));
}

std::filesystem::path make_temporary() {
    std::string pattern = (std::filesystem::temp_directory_path() / "bitdotio-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) {
        throw failed(pattern, "made", errno);
    }
    return pattern;
}

}  // namespace

data_directory data_directory::open(std::filesystem::path path) {
    const bool temporary = path.empty();
    if (temporary) {
        path = make_temporary();
    } else {
        std::error_code cause;
        std::filesystem::create_directories(path, cause);
        if (cause) {
            throw failed(path, "made", cause.value());
        }
        path = std::filesystem::canonical(path);
    }
    // As root: PostgreSQL's user must reach its own part; the rest has its own modes.
    if (::chmod(path.c_str(), ::geteuid() == 0 ? 0711 : 0700) != 0) {
        throw failed(path, "made private", errno);
    }
    const int lock =
        ::open((path / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0) {
        throw failed(path, "written", errno);
    }
    if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
        const int cause = errno;
        ::close(lock);
        if (cause == EWOULDBLOCK) {
            throw error(errc::conflict, "another server uses the data directory " + path.string() +
                                            ": stop it, or name another directory");
        }
        throw failed(path, "locked", cause);
    }
    return data_directory(std::move(path), temporary, lock);
}

data_directory::data_directory(std::filesystem::path path, bool temporary, int lock) noexcept
    : path_(std::move(path)), temporary_(temporary), lock_(lock) {}

data_directory::data_directory(data_directory&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(other.temporary_),
      lock_(std::exchange(other.lock_, -1)) {}

data_directory::~data_directory() {
    close();
}

void data_directory::close() noexcept {
    if (lock_ < 0) {
        return;
    }
    if (temporary_) {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    ::close(std::exchange(lock_, -1));
}

}  // namespace bitdotio
