// What a session has learned of the types of a database's own.
#pragma once

#include <bitdotio/oids.hpp>

#include <string>
#include <unordered_map>
#include <utility>

namespace bitdotio::wire {

/// A type as the server's catalog describes it; what it is not is oids::unspecified.
struct known_type {
    std::string name;                 ///< as SQL writes it; empty if the server has no such type
    oid base = oids::unspecified;     ///< what a domain is made of
    oid element = oids::unspecified;  ///< what an array has
    oid bound = oids::unspecified;    ///< what a range lies between
    oid range = oids::unspecified;    ///< what a multirange is made of
    char delimiter = ',';             ///< between the elements of an array of it, in text
    bool is_text = false;             ///< its binary form is its text
};

/// Thread safety: reading is safe from any thread, once nobody adds any more.
class known_types {
public:
    const known_type* find(oid type) const noexcept {
        const auto found = types_.find(type);
        return found == types_.end() ? nullptr : &found->second;
    }
    void add(oid type, known_type what) { types_.insert_or_assign(type, std::move(what)); }

    /// What a value of the type is in its binary form: domains are what they are made of.
    oid resolved(oid type) const noexcept {
        for (const known_type* what = find(type); what && what->base != oids::unspecified;
             what = find(type)) {
            type = what->base;
        }
        return type;
    }

private:
    std::unordered_map<oid, known_type> types_;
};

}  // namespace bitdotio::wire
