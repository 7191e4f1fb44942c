// The PostgreSQL roles of a database, and the one in which a caller's sessions run.
#pragma once

#include <bitdotio/models.hpp>

namespace bitdotio {

/// The kinds of sessions; none is a superuser's, and none can become another that may do more.
///
/// `owner` owns the database and what is in it. `admin` acts as `owner`. `writer` reads and changes
/// rows, `reader` reads. All but readers are `limited` while the database is over its storage
/// limit.
namespace session_roles {
inline constexpr const char* owner = "owner";
inline constexpr const char* admin = "admin";
inline constexpr const char* writer = "writer";
inline constexpr const char* reader = "reader";
inline constexpr const char* limited = "limited";
}  // namespace session_roles

inline const char* session_role(role value) noexcept {
    switch (value) {
        case role::owner: return session_roles::owner;
        case role::admin: return session_roles::admin;
        case role::writer: return session_roles::writer;
        case role::reader: return session_roles::reader;
    }
    return session_roles::reader;
}

}  // namespace bitdotio
