// Starts programs the way the server does, driven from a blocking test.
#include "support/daemon.hpp"

#include "base/deadline.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <utility>

namespace test {

namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace {

constexpr std::chrono::seconds patience{30};
constexpr std::chrono::milliseconds readiness_interval{5};

// Coroutines' parameters are copied; results go through a reference that the caller keeps.
asio::awaitable<void> start_child(bitdotio::command what, std::optional<bitdotio::child>& process) {
    process.emplace(co_await bitdotio::child::start(std::move(what)));
}

asio::awaitable<void> wait_for_end(bitdotio::child& process, std::chrono::milliseconds limit) {
    co_await bitdotio::with_deadline(process.wait(), bitdotio::deadline_after(limit));
}

}  // namespace

std::uint16_t free_port() {
    static std::mt19937 random{std::random_device{}()};
    std::uniform_int_distribution<int> range(20'000, 31'999);
    for (int tries = 0; tries < 1'000; ++tries) {
        const auto port = static_cast<std::uint16_t>(range(random));
        const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const bool free =
            ::bind(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
        ::close(probe);
        if (free) {
            return port;
        }
    }
    throw std::runtime_error("no free port");
}

daemon::daemon() : home_(directory_ / "home"), user_(bitdotio::unprivileged_user("")) {
    fs::create_directory(home_);
    fs::permissions(home_, fs::perms::owner_all);
    give(home_);
}

daemon::~daemon() {
    try {
        end(SIGKILL);
    } catch (const std::exception&) {  // the kernel has its death signal
    }
    // The process's handle belongs to the executor, which is destroyed earlier otherwise.
    process_.reset();
}

void daemon::give(const fs::path& file) const {
    if (user_.change && ::lchown(file.c_str(), user_.uid, user_.gid) != 0) {
        throw std::runtime_error("cannot give " + file.string() + " to " + user_.name);
    }
}

void daemon::write(const fs::path& file, const std::string& content) const {
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
    out << content;
    out.close();
    if (!out) {
        throw std::runtime_error("cannot write " + file.string());
    }
    give(file);
}

bitdotio::command daemon::command(std::vector<std::string> words) const {
    bitdotio::command what;
    what.arguments = std::move(words);
    what.directory = home_;
    what.output = home_ / "log";
    what.run_as = user_;
    return what;
}

void daemon::run_once(std::vector<std::string> words) {
    background_.wait_for(bitdotio::run_program(command(std::move(words)), patience));
}

void daemon::launch(std::vector<std::string> words, int death_signal) {
    if (is_running()) {
        throw std::runtime_error(words.front() + " runs already");
    }
    process_.reset();
    bitdotio::command what = command(std::move(words));
    what.death_signal = death_signal;
    background_.wait_for(start_child(std::move(what), process_));
    deadline_ = std::chrono::steady_clock::now() + patience;
}

void daemon::await_progress() {
    if (!is_running()) {
        throw failure("the program ended before it was ready");
    }
    if (std::chrono::steady_clock::now() >= deadline_) {
        throw failure("the program was not ready in time");
    }
    std::this_thread::sleep_for(readiness_interval);
}

bool daemon::is_running() {
    return process_ && !process_->has_ended();
}

void daemon::signal(int number) {
    if (process_) {
        process_->signal(number);
    }
}

void daemon::end(int number) {
    if (!is_running()) {
        return;
    }
    process_->signal(number);
    try {
        background_.wait_for(wait_for_end(*process_, patience));
    } catch (const bitdotio::error&) {
        process_->signal(SIGKILL);
        throw failure("the program did not end in time after signal " + std::to_string(number));
    }
}

std::runtime_error daemon::failure(const std::string& words) const {
    return std::runtime_error(words + "; the end of its log: " + bitdotio::tail_of(home_ / "log"));
}

}  // namespace test
