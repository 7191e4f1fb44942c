// Names, owners and keys, and their JSON.
#include "server/records.hpp"

#include <bitdotio/error.hpp>
#include <bitdotio/types.hpp>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace bitdotio {

namespace {

namespace json = boost::json;

constexpr std::int64_t form = 1;

void fill_randomly(std::span<unsigned char> octets) {
    if (RAND_bytes(octets.data(), static_cast<int>(octets.size())) != 1) {
        throw error(errc::system_failed, "the system has no random numbers to give");
    }
}

std::string hexadecimal(std::span<const unsigned char> octets) {
    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const unsigned char octet : octets) {
        text += {digits[octet >> 4], digits[octet & 0xf]};
    }
    return text;
}

std::string hash_of(const std::string& salt, const api_key& key) {
    std::array<unsigned char, 32> digest;
    std::string salted = salt + key.reveal();
    const int done =
        EVP_Digest(salted.data(), salted.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
    OPENSSL_cleanse(salted.data(), salted.size());
    if (done != 1) {
        throw error(errc::system_failed, "OpenSSL could not compute a hash");
    }
    return hexadecimal(digest);
}

// 43 characters of 62: a little more than 256 bits.
api_key random_key() {
    constexpr std::string_view letters =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    constexpr unsigned char fair =
        248;  // the last multiple of 62: above it some would come oftener
    std::string text = "v2_";
    while (text.size() < 3 + 43) {
        std::array<unsigned char, 64> octets;
        fill_randomly(octets);
        for (const unsigned char octet : octets) {
            if (octet < fair && text.size() < 3 + 43) {
                text.push_back(letters[octet % letters.size()]);
            }
        }
        OPENSSL_cleanse(octets.data(), octets.size());
    }
    const api_key key(text);
    OPENSSL_cleanse(text.data(), text.size());
    return key;
}

database_name checked_name(const std::string& user, const std::string& name) {
    if (name.find('/') != std::string::npos) {
        throw error(errc::bad_input, "\"" + name +
                                         "\" is not a database's name: give it without "
                                         "the user and the slash");
    }
    return database_name(user + "/" + name);
}

void check_limit(const std::optional<std::int64_t>& limit) {
    if (limit && *limit < 0) {
        throw error(errc::bad_input, "a storage limit of " + std::to_string(*limit) +
                                         " bytes cannot be: 0 or more is wanted");
    }
}

error unknown(const database_name& name) {
    return error(errc::not_found, "there is no database \"" + name.full() + "\"");
}

error taken(const database_name& name) {
    return error(errc::conflict, "there is a database \"" + name.full() + "\" already");
}

template <class Databases>
auto locate(Databases& databases, const std::string& user, const database_name& name) {
    const auto found = std::find_if(databases.begin(), databases.end(),
                                    [&](const database& each) { return each.name == name; });
    // What is another's does not exist, in the same words.
    if (found == databases.end() || name.user() != user) {
        throw unknown(name);
    }
    return found;
}

std::int64_t to_number(records::time when) {
    return when.time_since_epoch().count();
}

records::time to_time(const json::value& number) {
    return records::time(std::chrono::microseconds(number.to_number<std::int64_t>()));
}

std::string text_of(const json::object& object, const char* member) {
    return std::string(std::string_view(object.at(member).as_string()));
}

}  // namespace

std::string records::new_id() {
    uuid id;
    fill_randomly(id.octets);
    id.octets[6] = static_cast<std::uint8_t>((id.octets[6] & 0x0f) | 0x40);  // version 4
    id.octets[8] = static_cast<std::uint8_t>((id.octets[8] & 0x3f) | 0x80);  // RFC 4122
    return to_string(id);
}

std::string records::user_of(const api_key& key) const {
    for (const key_record& each : keys_) {
        const std::string hash = hash_of(each.salt, key);
        if (hash.size() == each.hash.size() &&
            CRYPTO_memcmp(hash.data(), each.hash.data(), hash.size()) == 0) {
            return each.user;
        }
    }
    return {};
}

api_key records::add_key(const std::string& user, time now) {
    const api_key key = random_key();
    std::array<unsigned char, 16> salt;
    fill_randomly(salt);
    key_record made;
    made.user = user;
    made.salt = hexadecimal(salt);
    made.hash = hash_of(made.salt, key);
    made.created = now;
    keys_.push_back(std::move(made));
    return key;
}

void records::revoke_keys(const std::string& user, const std::optional<api_key>& key) {
    const auto revoked = [&](const key_record& each) {
        return each.user == user && (!key || hash_of(each.salt, *key) == each.hash);
    };
    if (std::erase_if(keys_, revoked) == 0 && key) {
        throw error(errc::not_found, "the key to revoke is not one of the user " + user);
    }
}

database records::create(const std::string& id, const std::string& user, const std::string& name,
                         bool is_private, std::optional<std::int64_t> limit, time now) {
    database made;
    made.name = checked_name(user, name);
    check_limit(limit);
    for (const database& each : databases_) {
        if (each.name == made.name) {
            throw taken(made.name);
        }
    }
    made.id = id;
    made.date_created = now;
    made.is_private = is_private;
    made.storage_limit_bytes = limit;
    databases_.push_back(made);
    return made;
}

const database& records::find(const std::string& user, const database_name& name) const {
    return *locate(databases_, user, name);
}

database records::update(const std::string& user, const database_name& name,
                         const database_changes& changes) {
    const auto found = locate(databases_, user, name);
    database changed = *found;
    check_limit(changes.storage_limit_bytes);
    if (changes.name) {
        changed.name = checked_name(user, *changes.name);
        for (const database& each : databases_) {
            if (each.name == changed.name && each.id != changed.id) {
                throw taken(changed.name);
            }
        }
    }
    if (changes.visible) {
        changed.is_private = *changes.visible == visibility::private_;
    }
    if (changes.storage_limit_bytes) {
        changed.storage_limit_bytes = changes.storage_limit_bytes;
    }
    *found = changed;
    return changed;
}

database records::remove(const std::string& user, const database_name& name) {
    const auto found = locate(databases_, user, name);
    database removed = std::move(*found);
    databases_.erase(found);
    return removed;
}

std::vector<database> records::list(const std::string& user) const {
    std::vector<database> result;
    for (const database& each : databases_) {
        if (each.name.user() == user) {
            result.push_back(each);
        }
    }
    return result;
}

std::vector<std::string> records::ids() const {
    std::vector<std::string> result;
    for (const database& each : databases_) {
        result.push_back(each.id);
    }
    std::sort(result.begin(), result.end());
    return result;
}

std::string records::to_json() const {
    json::array databases;
    for (const database& each : databases_) {
        json::object entry;
        entry["id"] = each.id;
        entry["name"] = each.name.full();
        entry["created_microseconds"] = to_number(each.date_created.value_or(time()));
        entry["is_private"] = each.is_private;
        entry["storage_limit_bytes"] = nullptr;
        if (each.storage_limit_bytes) {
            entry["storage_limit_bytes"] = *each.storage_limit_bytes;
        }
        databases.push_back(std::move(entry));
    }
    json::array keys;
    for (const key_record& each : keys_) {
        json::object entry;
        entry["user"] = each.user;
        entry["salt"] = each.salt;
        entry["sha256"] = each.hash;
        entry["created_microseconds"] = to_number(each.created);
        keys.push_back(std::move(entry));
    }
    json::object all;
    all["form"] = form;
    all["databases"] = std::move(databases);
    all["keys"] = std::move(keys);
    return json::serialize(all) + "\n";
}

records records::from_json(std::string_view text) {
    try {
        const json::value parsed = json::parse(text);
        const json::object& all = parsed.as_object();
        if (all.at("form").to_number<std::int64_t>() > form) {
            throw error(errc::bad_input,
                        "the catalog was written by a newer version of this "
                        "server: use that one");
        }
        records result;
        for (const json::value& value : all.at("databases").as_array()) {
            const json::object& entry = value.as_object();
            database each;
            each.id = text_of(entry, "id");
            each.name = database_name(text_of(entry, "name"));
            each.date_created = to_time(entry.at("created_microseconds"));
            each.is_private = entry.at("is_private").as_bool();
            if (const json::value& limit = entry.at("storage_limit_bytes"); !limit.is_null()) {
                each.storage_limit_bytes = limit.to_number<std::int64_t>();
            }
            result.databases_.push_back(std::move(each));
        }
        for (const json::value& value : all.at("keys").as_array()) {
            const json::object& entry = value.as_object();
            key_record each;
            each.user = text_of(entry, "user");
            each.salt = text_of(entry, "salt");
            each.hash = text_of(entry, "sha256");
            each.created = to_time(entry.at("created_microseconds"));
            result.keys_.push_back(std::move(each));
        }
        return result;
    } catch (const error&) {
        throw;
    } catch (const std::exception& failure) {
        throw error(errc::bad_input,
                    std::string("the catalog cannot be understood: ") + failure.what());
    }
}

}  // namespace bitdotio
