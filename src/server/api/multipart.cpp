// Parses a form with a buffer that holds back a possible beginning of a boundary.
#include "server/api/multipart.hpp"
#include "base/ascii.hpp"
#include "base/percent_encoding.hpp"

#include <bitdotio/error.hpp>

#include <algorithm>
#include <utility>

namespace bitdotio {

namespace {

constexpr std::size_t longest_headers = 16 * 1024;

error malformed(const std::string& why) {
    return error(errc::bad_input, "the form is malformed: " + why);
}

std::string_view trimmed(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    return text.substr(0, text.find_last_not_of(" \t") + 1);
}

// The value of a parameter of `main; name="value"; other=token`. Within quotes, a backslash
// escapes only quotes and itself: old browsers send whole Windows paths.
std::optional<std::string> parameter(std::string_view header, std::string_view wanted) {
    std::size_t at = header.find(';');
    while (at != std::string_view::npos && at < header.size()) {
        const std::size_t equals = header.find('=', at);
        if (equals == std::string_view::npos) return std::nullopt;
        const std::string_view name = trimmed(header.substr(at + 1, equals - at - 1));
        std::string value;
        std::size_t i = equals + 1;
        while (i < header.size() && header[i] == ' ')
            ++i;
        if (i < header.size() && header[i] == '"') {
            for (++i; i < header.size() && header[i] != '"'; ++i) {
                if (header[i] == '\\' && i + 1 < header.size() &&
                    (header[i + 1] == '"' || header[i + 1] == '\\')) {
                    ++i;
                }
                value.push_back(header[i]);
            }
            i = header.find(';', i);
        } else {
            const std::size_t end = header.find(';', i);
            value = trimmed(header.substr(i, end == std::string_view::npos ? end : end - i));
            i = end;
        }
        if (ascii::equal_ignoring_case(name, wanted)) return value;
        at = i;
    }
    return std::nullopt;
}

}  // namespace

multipart::multipart(std::string_view content_type) {
    const auto boundary = parameter(content_type, "boundary");
    if (!boundary || boundary->empty() || boundary->size() > 70) {
        throw malformed("its Content-Type needs a boundary of 1 to 70 characters");
    }
    delimiter_ = "\r\n--" + *boundary;
}

void multipart::feed(std::string_view piece) {
    buffer_.append(piece);
    while (step()) {
    }
    buffer_.erase(0, std::exchange(taken_, 0));
}

// Takes one thing from the buffer; false if it needs more bytes for the next.
bool multipart::step() {
    const std::string_view rest = unread();
    switch (state_) {
        case state::over: taken_ = buffer_.size(); return false;
        case state::before:
        case state::content: {
            const std::size_t end = rest.find(delimiter_);
            // A possible beginning of a boundary waits for its rest.
            const std::size_t sure =
                end != std::string_view::npos
                    ? end
                    : rest.size() - std::min(rest.size(), delimiter_.size() - 1);
            if (state_ == state::content && sure > 0) part_data(rest.substr(0, sure));
            taken_ += sure;
            if (end == std::string_view::npos) return false;
            taken_ += delimiter_.size();
            before_boundary_ = std::exchange(state_, state::after_boundary);
            return true;
        }
        case state::after_boundary: return read_boundary_line();
        case state::headers: {
            const std::size_t end = rest.find("\r\n\r\n");
            if (end == std::string_view::npos) {
                if (rest.size() > longest_headers) throw malformed("headers are too long");
                return false;
            }
            taken_ += end + 4;
            state_ = state::content;
            read_headers(rest.substr(0, end));
            return true;
        }
    }
    return false;
}

// Reads what follows a boundary: the end of its line or of the form; else it was not a boundary.
bool multipart::read_boundary_line() {
    const std::string_view line = unread();
    const std::size_t end = std::min(line.find_first_not_of(" \t"), line.size());
    if (line.starts_with("--")) {
        state_ = state::over;
        return true;
    }
    const std::string_view rest = line.substr(end);
    if (rest.size() < 2 && end < longest_headers &&
        (rest.empty() || rest == "\r" || (rest == "-" && end == 0))) {
        return false;
    }
    if (rest.starts_with("\r\n")) {
        taken_ += end;  // the line's end also begins the headers, for parts without any
        state_ = state::headers;
        return true;
    }
    state_ = before_boundary_;
    if (state_ == state::content) part_data(delimiter_);
    return true;
}

void multipart::read_headers(std::string_view block) {
    while (!block.empty()) {
        block.remove_prefix(2);
        const std::size_t end = block.find("\r\n");
        const std::string_view line = block.substr(0, end);
        block.remove_prefix(end == std::string_view::npos ? block.size() : end);
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos) throw malformed("a header has no colon");
        if (!ascii::equal_ignoring_case(trimmed(line.substr(0, colon)), "content-disposition"))
            continue;
        const std::string_view value = line.substr(colon + 1);
        const auto name = parameter(value, "name");
        if (!name) break;
        begin_part(*name, parameter(value, "filename"));
        return;
    }
    throw malformed("a part has no name");
}

void multipart::finish() const {
    if (state_ != state::over) throw malformed("it ends before its last boundary");
}

std::string form_decoded(std::string_view text) {
    std::string plain(text);
    std::replace(plain.begin(), plain.end(), '+', ' ');
    return percent_decoded(plain);
}

}  // namespace bitdotio
