// What the rules about accounts and those about databases share.
#pragma once

#include <bitdotio/database_name.hpp>
#include <bitdotio/error.hpp>

#include "server/catalog/catalog_rules.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace bitdotio {

inline error unknown_database(const database_name& name) {
    return error(errc::not_found, "there is no database \"" + name.full() + "\"");
}

/// The rows that `chosen` says yes to, oldest first.
template <class Rows, class Chosen>
auto by_age(const Rows& rows, Chosen chosen) {
    std::vector<const typename Rows::mapped_type*> sorted;
    for (const auto& [id, row] : rows) {
        if (chosen(row)) sorted.push_back(&row);
    }
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto* a, const auto* b) { return a->created < b->created; });
    return sorted;
}

template <class Row>
void catalog_rules::put(std::map<std::string, Row>& rows, const std::string& key, Row row) {
    rows[key] = row;
    changes_.push_back(std::move(row));
}

}  // namespace bitdotio
