// The rules of the catalog: names, owners, keys; and their text. No I/O.
#pragma once

#include <bitdotio/api_key.hpp>
#include <bitdotio/database_name.hpp>
#include <bitdotio/models.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

/// The databases and keys of a server.
///
/// Keys are kept as salted SHA-256: they are 256 random bits, so that guessing is hopeless at any
/// speed, and a slow hash would only slow down every request. The salts keep two files from being
/// compared.
///
/// A name is compared as it is written. Where a function fails, nothing has changed.
///
/// Thread safety: a value.
class records {
public:
    using time = std::chrono::sys_time<std::chrono::microseconds>;

    /// A random UUID, version 4.
    static std::string new_id();

    /// Whose key this is; empty if it is nobody's.
    std::string user_of(const api_key& key) const;
    /// A new key of random characters. Only its hash stays here.
    api_key add_key(const std::string& user, time now);
    /// Errors: errc::not_found if `key` is given and not the user's.
    void revoke_keys(const std::string& user, const std::optional<api_key>& key);

    /// Errors: errc::bad_input; errc::conflict if the user has one of that name.
    database create(const std::string& id, const std::string& user, const std::string& name,
                    bool is_private, std::optional<std::int64_t> limit, time now);
    /// Errors: errc::not_found, in the same words for what another user owns.
    const database& find(const std::string& user, const database_name& name) const;
    /// Errors: errc::not_found; errc::conflict if the new name is taken; errc::bad_input.
    database update(const std::string& user, const database_name& name,
                    const database_changes& changes);
    /// Errors: errc::not_found.
    database remove(const std::string& user, const database_name& name);
    /// The user's databases, oldest first.
    std::vector<database> list(const std::string& user) const;
    /// The ids of all databases, sorted.
    std::vector<std::string> ids() const;

    /// Everything as JSON, with the version of its form.
    std::string to_json() const;
    /// Errors: errc::bad_input if the text is not what `to_json` gives, or of a newer form.
    static records from_json(std::string_view text);

private:
    struct key_record {
        std::string user;
        std::string salt;  ///< hexadecimal
        std::string hash;  ///< of salt and key, hexadecimal
        time created;
    };

    std::vector<database> databases_;  ///< oldest first
    std::vector<key_record> keys_;
};

}  // namespace bitdotio
