// Keys: checks their form, and keeps them out of sight.
#include <bitdotio/api_key.hpp>
#include <bitdotio/error.hpp>

#include "base/ascii.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ostream>
#include <utility>

namespace bitdotio {

namespace {

void wipe(std::string& text) noexcept {
    explicit_bzero(text.data(), text.capacity());
    text.clear();
}

}  // namespace

api_key::api_key(std::string_view text) : text_(text) {
    if (text.size() < 4 || !text.starts_with("v2_") ||
        !std::all_of(text.begin(), text.end(), ascii::is_word)) {
        wipe(text_);
        throw error(errc::bad_input,
                    "the API key is malformed: a key is \"v2_\" followed by letters, digits and "
                    "underscores");
    }
}

api_key::api_key(api_key&& other) noexcept : text_(other.text_) {
    wipe(other.text_);
}

api_key& api_key::operator=(const api_key& other) {
    if (this != &other) {
        wipe(text_);
        text_ = other.text_;
    }
    return *this;
}

api_key& api_key::operator=(api_key&& other) noexcept {
    if (this != &other) {
        wipe(text_);
        text_ = other.text_;
        wipe(other.text_);
    }
    return *this;
}

api_key::~api_key() {
    wipe(text_);
}

api_key api_key::from_environment() {
    const char* text = std::getenv("BITIO_KEY");
    if (!text || !*text) {
        throw error(errc::bad_input, "no API key: set the environment variable BITIO_KEY");
    }
    return api_key(text);
}

bool operator==(const api_key& a, const api_key& b) noexcept {
    unsigned char differs = a.text_.size() != b.text_.size();
    for (std::size_t i = 0; i < std::min(a.text_.size(), b.text_.size()); ++i) {
        differs = static_cast<unsigned char>(differs | (a.text_[i] ^ b.text_[i]));
    }
    return differs == 0;
}

std::ostream& operator<<(std::ostream& out, const api_key&) {
    return out << "v2_…";
}

}  // namespace bitdotio
