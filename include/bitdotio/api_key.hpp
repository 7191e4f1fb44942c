// An API key: checked on entry, never printed.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>

namespace bitdotio {

/// An API key, "v2_" followed by letters, digits and underscores.
///
/// It prints as "v2_…", so that no log or error message can show it; `reveal()` is the one way
/// to its characters. Its memory is wiped when it is destroyed.
///
/// Thread safety: a value.
class api_key {
public:
    /// Errors: errc::bad_input if `text` has another form; the message never repeats it.
    explicit api_key(std::string_view text);

    api_key(const api_key&) = default;
    api_key(api_key&& other) noexcept;
    api_key& operator=(const api_key& other);
    api_key& operator=(api_key&& other) noexcept;
    ~api_key();

    /// The key of the environment variable BITIO_KEY.
    ///
    /// Errors: errc::bad_input if it is not set, or not of a key's form.
    static api_key from_environment();

    const std::string& reveal() const noexcept { return text_; }

    /// Compares in a time that does not tell where two keys differ.
    friend bool operator==(const api_key& a, const api_key& b) noexcept;

private:
    std::string text_;
};

std::ostream& operator<<(std::ostream& out, const api_key& key);

}  // namespace bitdotio
