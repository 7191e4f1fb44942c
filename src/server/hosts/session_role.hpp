// The PostgreSQL role in which a caller's sessions run.
#pragma once

#include <bitdotio/models.hpp>

namespace bitdotio {

/// The roles of every instance; none is a superuser, and none can become another that may do more.
///
/// `owner` owns the database and what is in it. `admin` acts as `owner`. `writer` reads and changes
/// rows, `reader` reads. All but readers are `limited` while the database is over its storage
/// limit. `keeper` is the server's own, for ending sessions; no key leads to it.
namespace session_roles {
inline constexpr const char* owner = "owner";
inline constexpr const char* admin = "admin";
inline constexpr const char* writer = "writer";
inline constexpr const char* reader = "reader";
inline constexpr const char* limited = "limited";
inline constexpr const char* keeper = "keeper";
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
