// Parameters as libpq takes them: four arrays, kept for their capacity.
#pragma once

#include <bitdotio/error.hpp>
#include <bitdotio/params.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace bitdotio {

/// The parameters of the statement that is sent next.
///
/// Thread safety: none; it belongs to its session.
class bound_parameters {
public:
    /// Errors: errc::bad_input if they are more than the protocol can count.
    static void check(const params& values) {
        if (values.size() > most) {
            throw too_many(values.size());
        }
    }
    /// Lifetime: `values` must outlive the use of the arrays.
    /// Errors: errc::bad_input if they are more than the protocol can count.
    void bind(const params& values) {
        check(values);
        const std::size_t count = values.size();
        types_.resize(count);
        values_.resize(count);
        lengths_.resize(count);
        formats_.resize(count);
        octets_ = 0;
        for (std::size_t i = 0; i < count; ++i) {
            types_[i] = values.type(i);
            values_[i] = values.is_null(i) ? nullptr : values.value(i).data();
            lengths_[i] = static_cast<int>(values.value(i).size());
            formats_[i] = values.is_binary(i);
            octets_ += values.value(i).size();
        }
    }

    int count() const noexcept { return static_cast<int>(types_.size()); }
    const std::vector<oid>& types() const noexcept { return types_; }
    const char* const* values() const noexcept { return values_.data(); }
    const int* lengths() const noexcept { return lengths_.data(); }
    const int* formats() const noexcept { return formats_.data(); }
    /// The size of all values together.
    std::size_t octets() const noexcept { return octets_; }

private:
    static constexpr std::size_t most = 65'535;  // a 16-bit count in the protocol

    static error too_many(std::size_t count) {
        return error(errc::bad_input, std::to_string(count) + " parameters are bound, and " +
                                          std::to_string(most) +
                                          " are the most a statement can have: bind arrays, or "
                                          "use copy_in")
            .with(outcome::not_sent);
    }

    std::vector<oid> types_;
    std::vector<const char*> values_;
    std::vector<int> lengths_;
    std::vector<int> formats_;
    std::size_t octets_ = 0;
};

}  // namespace bitdotio
