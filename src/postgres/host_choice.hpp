// Which of several servers to take, and in which order they are tried.
#pragma once

#include <bitdotio/connect_options.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdotio {

/// What is known about a server's role. PostgreSQL 14 and newer report both at the start of a
/// session.
struct server_role {
    std::optional<bool> standby;    ///< it is in recovery
    std::optional<bool> read_only;  ///< transactions are read-only unless they say otherwise
};

enum class suitability {
    unknown,      ///< The role must be asked for first.
    suits,        ///< Take it.
    second_best,  ///< Take it if no other suits.
    unsuitable,
};

/// Whether a server of this role will do.
inline suitability judge_role(session_attributes wanted, const server_role& role) {
    const auto whether = [](std::optional<bool> holds, suitability otherwise) {
        return !holds ? suitability::unknown : *holds ? suitability::suits : otherwise;
    };
    const auto opposite = [](std::optional<bool> value) {
        return value ? std::optional(!*value) : value;
    };
    // A standby takes no writes whatever its default; else only both together tell.
    std::optional<bool> reads_only;
    if (role.standby == true || role.read_only == true) {
        reads_only = true;
    } else if (role.standby && role.read_only) {
        reads_only = false;
    }
    switch (wanted) {
        case session_attributes::any: break;
        case session_attributes::read_write:
            return whether(opposite(reads_only), suitability::unsuitable);
        case session_attributes::read_only: return whether(reads_only, suitability::unsuitable);
        case session_attributes::primary:
            return whether(opposite(role.standby), suitability::unsuitable);
        case session_attributes::standby: return whether(role.standby, suitability::unsuitable);
        case session_attributes::prefer_standby:
            return whether(role.standby, suitability::second_best);
    }
    return suitability::suits;
}

/// What is asked for, as the end of "… asks for ".
inline std::string_view describe(session_attributes wanted) {
    switch (wanted) {
        case session_attributes::any: break;
        case session_attributes::read_write: return "one that takes writes";
        case session_attributes::read_only: return "a read-only one";
        case session_attributes::primary: return "a primary";
        case session_attributes::standby:
        case session_attributes::prefer_standby: return "a standby";
    }
    return "any";
}

/// Puts a list into an order that chance decides, each as likely as any other.
///
/// Parameters: `chance` gives numbers in [0, 1).
template <class T, class Chance>
void shuffle(std::vector<T>& list, Chance&& chance) {
    for (std::size_t left = list.size(); left > 1; --left) {
        const auto drawn = static_cast<std::size_t>(chance() * static_cast<double>(left));
        std::swap(list[left - 1], list[std::min(drawn, left - 1)]);
    }
}

}  // namespace bitdotio
