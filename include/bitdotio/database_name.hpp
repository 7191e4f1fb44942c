// The full name of a database: "user/db".
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>

namespace bitdotio {

/// The full name of a database, such as "adam/my-db", as the API and the Postgres endpoint use it.
///
/// Thread safety: a value.
class database_name {
public:
    /// Takes "user/db". The separators "." "~" "|" ">" that the service's connection strings allow
    /// are understood where there is no "/".
    ///
    /// Not explicit, so that a literal can be used wherever a name is expected.
    ///
    /// Errors: errc::bad_input, naming what is wrong, if the text is not `^\w.{0,37}?/.{1,23}$`.
    database_name(std::string_view text);
    database_name(const std::string& text) : database_name(std::string_view(text)) {}
    database_name(const char* text) : database_name(std::string_view(text)) {}

    /// The part before the slash.
    std::string_view user() const noexcept;
    /// The part after the slash.
    std::string_view database() const noexcept;
    /// "user/db".
    const std::string& full() const noexcept { return full_; }
    /// The name as two segments of a URL path, percent-encoded where it must be.
    std::string url_path() const;

    friend bool operator==(const database_name&, const database_name&) = default;
    friend auto operator<=>(const database_name&, const database_name&) = default;

private:
    std::string full_;
};

std::ostream& operator<<(std::ostream& out, const database_name& name);

}  // namespace bitdotio
