// Writes names, labels and numbers in Prometheus' text format.
#include "server/base/metrics_text.hpp"

#include <charconv>
#include <cmath>

namespace bitdotio {

namespace {

std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
    char room[32];
    // Counts in full: 1e+06 is right but hard to read.
    const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
    const auto end = whole ? std::to_chars(room, room + sizeof room, static_cast<long long>(value))
                           : std::to_chars(room, room + sizeof room, value);
    return std::string(room, end.ptr);
}

void append_escaped(std::string& out, std::string_view text, bool quotes) {
    for (const char c : text) {
        if (c == '\\') {
            out += "\\\\";
        } else if (c == '\n') {
            out += "\\n";
        } else if (c == '"' && quotes) {
            out += "\\\"";
        } else {
            out += c;
        }
    }
}

}  // namespace

void metrics_text::family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_ += "# HELP " + name_ + " ";
    append_escaped(text_, help, false);
    text_ += "\n# TYPE " + name_ + " " + std::string(type) + "\n";
}

void metrics_text::sample(double value, const labels& about) {
    line("", about, value);
}

void metrics_text::sample(const duration_histogram& what) {
    for (std::size_t i = 0; i < duration_histogram::ends.size(); ++i) {
        line("_bucket", {{"le", number(duration_histogram::ends[i])}},
             static_cast<double>(what.at_most(i)));
    }
    line("_bucket", {{"le", "+Inf"}}, static_cast<double>(what.count()));
    line("_sum", {}, what.sum());
    line("_count", {}, static_cast<double>(what.count()));
}

void metrics_text::line(std::string_view suffix, const labels& about, double value) {
    text_ += name_;
    text_ += suffix;
    if (!about.empty()) {
        char before = '{';
        for (const auto& [name, what] : about) {
            text_ += before;
            text_ += std::string(name) + "=\"";
            append_escaped(text_, what, true);
            text_ += '"';
            before = ',';
        }
        text_ += '}';
    }
    text_ += " " + number(value) + "\n";
}

}  // namespace bitdotio
