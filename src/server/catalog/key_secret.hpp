// Makes keys, and the salted hashes that are kept of them.
#pragma once

#include <bitdotio/api_key.hpp>

#include "server/catalog/catalog_rows.hpp"

#include <map>
#include <string>
#include <string_view>

namespace bitdotio {

/// A random UUID, version 4.
std::string new_id();

/// A new key of random characters: "v2_", 12 to find it by, "_", 43 to prove it.
api_key new_key();

/// The part of a key by which it is found, which is not secret; empty for what we did not make.
std::string key_id(const api_key& key);

/// Salts and hashes a key of `account`.
///
/// The hash is SHA-256 over salt and key. A key is 256 random bits, so guessing is hopeless at any
/// speed; a slow hash would only slow down every request. The salt keeps two files from being
/// compared.
key_row hashed(const api_key& key, std::string account, catalog_time now);

/// Whether this is the key that was hashed; takes the same time either way. A revoked key never
/// matches.
bool matches(const key_row& kept, const api_key& key);

/// What became of a key that was shown.
struct key_verdict {
    const key_row* row = nullptr;  ///< the key's; null if it opens nothing
    int hashes = 0;                ///< how many were computed and compared
};

/// Finds the row of a key that is right and not revoked.
///
/// One hash is computed and compared whatever the key is: one whose id is unknown is held against a
/// row that no key matches. So the time of a refusal does not tell whether an id is known.
///
/// Lifetime: the row is one of `keys`.
key_verdict judge(const std::map<std::string, key_row>& keys, const api_key& key);

}  // namespace bitdotio
