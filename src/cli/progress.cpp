// Draws the bar on one line, which is written over.
#include "cli/progress.hpp"

#include "cli/output.hpp"
#include "cli/terminal.hpp"

#include <unistd.h>
#include <algorithm>
#include <utility>

namespace bitdotio::cli {

namespace {

constexpr std::chrono::milliseconds between_drawings{100};
constexpr std::size_t narrowest_bar = 6;
constexpr std::size_t widest_bar = 30;
constexpr std::size_t shortest_name = 10;

// As many characters of a printable text as so many columns show.
std::string beginning_of(std::string text, std::size_t columns) {
    while (width_of(text) > columns) {
        do {
            const bool continued = (static_cast<unsigned char>(text.back()) & 0xc0) == 0x80;
            text.pop_back();
            if (!continued) break;
        } while (!text.empty());
    }
    return text;
}

}  // namespace

std::string progress_line(const std::string& what, std::uint64_t done,
                          std::optional<std::uint64_t> whole, std::chrono::milliseconds since,
                          std::size_t columns) {
    const double seconds = std::max(static_cast<double>(since.count()) / 1'000, 0.001);
    const double rate = static_cast<double>(done) / seconds;
    std::string tail = size_text(done);
    double part = 0;
    if (whole && *whole > 0) {
        part = std::min(1.0, static_cast<double>(done) / static_cast<double>(*whole));
        tail = std::to_string(static_cast<int>(part * 100)) + "% of " + size_text(*whole);
    }
    if (done > 0) tail += ", " + size_text(static_cast<std::uint64_t>(rate)) + "/s";
    if (part > 0 && part < 1 && seconds > 2) {
        const double left = seconds * (1 - part) / part;
        tail +=
            ", " + time_text(std::chrono::seconds(static_cast<std::int64_t>(left) + 1)) + " left";
    }
    // How far it is matters more than the end of a long name.
    std::string line = what + " ";
    if (const std::size_t taken = tail.size() + 2;
        width_of(what) + taken > columns && columns > taken + shortest_name) {
        line = beginning_of(what, columns - taken - 1) + "… ";
    }
    const std::size_t used = width_of(line) + tail.size();
    const std::size_t room = columns > used + 4 ? columns - used - 4 : 0;
    if (whole && room >= narrowest_bar) {
        const std::size_t width = std::min(room, widest_bar);
        const auto full = static_cast<std::size_t>(part * static_cast<double>(width));
        line += "[" + std::string(full, '#') + std::string(width - full, '.') + "] ";
    }
    line += tail;
    return columns > 1 ? beginning_of(line, columns - 1) : line;
}

progress::progress(std::string what, std::optional<std::uint64_t> whole)
    : what_(printable(what)), whole_(whole), shown_(is_terminal(STDERR_FILENO)) {}

progress::~progress() {
    if (!dirty_) return;
    try {
        write_all(STDERR_FILENO, "\r\x1b[K");
    } catch (const std::exception&) {  // nobody looks any more
    }
}

void progress::add(std::uint64_t bytes) {
    done_ += bytes;
    if (!shown_) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - drawn_ < between_drawings && !(whole_ && done_ == *whole_)) return;
    drawn_ = now;
    draw(progress_line(what_, done_, whole_,
                       std::chrono::duration_cast<std::chrono::milliseconds>(now - begin_),
                       size_of_screen(STDERR_FILENO).columns));
}

void progress::say(const std::string& text) {
    if (shown_) draw(text.substr(0, size_of_screen(STDERR_FILENO).columns - 1));
}

void progress::draw(const std::string& line) {
    dirty_ = true;
    write_all(STDERR_FILENO, "\r\x1b[K" + line);
}

}  // namespace bitdotio::cli
