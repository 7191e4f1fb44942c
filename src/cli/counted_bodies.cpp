// Counts the bytes of files on their way, and copies standard input to the disk.
#include "cli/transfer.hpp"

#include "cli/interrupts.hpp"
#include "cli/terminal.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

namespace bitdotio::cli {

counted_source::counted_source(std::shared_ptr<body_source> from, const std::string& what)
    : from_(std::move(from)), bar_(std::make_unique<progress>(what, from_->size())) {}

asio::awaitable<std::string> counted_source::next() {
    std::string piece = co_await from_->next();
    if (bar_) bar_->add(piece.size());
    co_return piece;
}

counted_sink::counted_sink(std::shared_ptr<file_sink> file, const std::string& what)
    : file_(std::move(file)) {
    // A bar among the bytes themselves would make both unreadable.
    if (file_ || !is_terminal(STDOUT_FILENO)) bar_ = std::make_unique<progress>(what);
}

asio::awaitable<void> counted_sink::write(std::string piece) {
    if (bar_) bar_->add(piece.size());
    if (file_) {
        co_await file_->write(std::move(piece));
    } else {
        print_data(piece);
    }
}

std::string safe_file_name(const std::string& given, const std::string& ending) {
    const bool plain = !given.empty() && given.size() <= 200 && given[0] != '.' &&
                       given[0] != '-' && given.find('/') == std::string::npos &&
                       printable(given) == given;
    return plain ? given : "export." + ending;
}

reserved_file::reserved_file(std::string name) : name_(std::move(name)) {
    const int made = ::open(name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (made >= 0) {
        ::close(made);
        return;
    }
    if (errno == EEXIST) {
        throw error(errc::bad_input, "the file " + name_ +
                                         " is there already, and stays as it is: name another "
                                         "FILE, or give --overwrite");
    }
    throw error(errc::system_failed, "cannot write " + name_ + ": " + std::strerror(errno));
}

reserved_file::~reserved_file() {
    if (!name_.empty()) ::unlink(name_.c_str());
}

spooled_input::spooled_input(bool wanted) {
    if (!wanted) return;
    struct stat info {};
    if (::fstat(STDIN_FILENO, &info) == 0 && S_ISREG(info.st_mode) &&
        ::lseek(STDIN_FILENO, 0, SEEK_CUR) == 0) {
        file_ = ::dup(STDIN_FILENO);
        return;
    }
    const char* const directory = std::getenv("TMPDIR");
    std::string name = std::string(directory && *directory ? directory : "/tmp") + "/bit.XXXXXX";
    file_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (file_ < 0) {
        throw error(errc::system_failed, "cannot keep the input in " +
                                             name.substr(0, name.rfind('/')) + ": " +
                                             std::strerror(errno));
    }
    ::unlink(name.c_str());
    const interrupts watched;
    progress bar("reading standard input");
    std::vector<char> piece(262'144);
    ssize_t got = 0;
    while ((got = read_some(STDIN_FILENO, piece.data(), piece.size())) > 0) {
        write_all(file_, {piece.data(), static_cast<std::size_t>(got)});
        bar.add(static_cast<std::uint64_t>(got));
    }
    if (got < 0) {
        throw error(errc::bad_input,
                    std::string("cannot read standard input: ") + std::strerror(errno));
    }
}

spooled_input::~spooled_input() {
    if (file_ >= 0) ::close(file_);
}

std::string spooled_input::path() const {
    return "/proc/self/fd/" + std::to_string(file_);
}

}  // namespace bitdotio::cli
