// The places where a fault can hit a client, as docs/reliability.md names them.
#pragma once

#include <stdexcept>
#include <string_view>
#include <vector>

namespace test {

/// What is under way when a fault happens. Each writes keys of a ledger.
enum class fault_place {
    query,        ///< a statement of the pool
    stream,       ///< a statement of the pool whose rows are read piece by piece
    lease,        ///< a statement on a connection on loan
    pipeline,     ///< independent statements in one trip
    batch,        ///< statements in one trip, all or none
    transaction,  ///< a statement inside a transaction, not its first
    commit,       ///< its COMMIT
    copy_data,    ///< COPY, with rows on their way
    copy_end,     ///< COPY, when its rows are sent and it is finished
};

std::string_view to_string(fault_place where);
const std::vector<fault_place>& all_places();

/// What is thrown for a place that a kind of clients does not have.
std::logic_error not_parked(fault_place where);

}  // namespace test
