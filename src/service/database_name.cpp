// Database names: the rule, and their URL path.
#include <bitdotio/database_name.hpp>
#include <bitdotio/error.hpp>

#include "base/ascii.hpp"
#include "base/percent_encoding.hpp"

#include <ostream>

namespace bitdotio {

namespace {

error malformed(std::string_view text, const char* why) {
    return error(errc::bad_input, "\"" + std::string(text) + "\" is not a database name: " + why +
                                      "; a full name is \"user/db\", the user 1 to 38 characters "
                                      "that begin with a letter, digit or underscore, the "
                                      "database 1 to 23");
}

}  // namespace

database_name::database_name(std::string_view text) : full_(text) {
    std::size_t slash = full_.find('/');
    if (slash == std::string::npos) {
        slash = full_.find_first_of(".~|>");
        if (slash == std::string::npos) {
            throw malformed(text, "it has no \"/\"");
        }
        full_[slash] = '/';
    }
    for (const char c : full_) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            throw malformed("…", "it contains a control character");
        }
    }
    if (slash == 0 || !ascii::is_word(full_.front())) {
        throw malformed(text, "its user does not begin with a letter, digit or underscore");
    }
    if (slash > 38) {
        throw malformed(text, "its user is longer than 38 characters");
    }
    const std::size_t length = full_.size() - slash - 1;
    if (length == 0 || length > 23) {
        throw malformed(text, length == 0 ? "its database is empty"
                                          : "its database is longer than 23 characters");
    }
}

std::string_view database_name::user() const noexcept {
    return std::string_view(full_).substr(0, full_.find('/'));
}

std::string_view database_name::database() const noexcept {
    return std::string_view(full_).substr(full_.find('/') + 1);
}

std::string database_name::url_path() const {
    return percent_encoded(user()) + "/" + percent_encoded(database());
}

std::ostream& operator<<(std::ostream& out, const database_name& name) {
    return out << name.full();
}

}  // namespace bitdotio
