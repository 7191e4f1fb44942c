// What it means to abandon each kind of part.
#include <bitdotio/open_part.hpp>

#include "postgres/postgres_session.hpp"
#include "postgres/transaction_scope.hpp"

namespace bitdotio::wire {

void abandon_part(postgres_session& owner, std::uint64_t stream) noexcept {
    owner.abandon_stream(stream);
}

void abandon_part(transaction_scope& owner, std::uint64_t level) noexcept {
    owner.abandon(level);
}

}  // namespace bitdotio::wire
