// The labels of enums, and the errors for unknown labels.
#include <bitdotio/enums.hpp>

namespace bitdotio::wire {

std::string_view read_label(const field_view& field, std::string_view wanted) {
    if (!field.is_binary()) {
        return field.data();
    }
    // The binary form of an enum is its label; a text column may hold labels too.
    if (field.type() < oids::first_user && field.type() != oids::text &&
        field.type() != oids::varchar && field.type() != oids::bpchar &&
        field.type() != oids::name) {
        throw field.mismatch(wanted);
    }
    return field.data();
}

error unknown_label(const field_view& field, std::string_view wanted) {
    return field.mismatch(
        wanted, "the label \"" + std::string(field.data()) + "\" is not among its enum_labels");
}

error no_label(long long value, std::string_view type) {
    return error(errc::bad_input, "cannot bind the " + std::string(type) + " " +
                                      std::to_string(value) + ": it is not among its enum_labels");
}

}  // namespace bitdotio::wire
