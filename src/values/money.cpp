// Reads money from its binary form, the only one that does not depend on a locale.
#include <bitdotio/money.hpp>

#include "values/wire_reader.hpp"

namespace bitdotio {

money from_sql<money>::read(const field_view& field) {
    constexpr std::string_view wanted = "bitdotio::money";
    if (field.type() != oids::money) {
        throw field.mismatch(wanted);
    }
    if (!field.is_binary()) {
        throw field.mismatch(wanted, "its text depends on lc_monetary; read it as a std::string");
    }
    return {static_cast<std::int64_t>(wire::fixed<std::uint64_t>(field, wanted))};
}

}  // namespace bitdotio
