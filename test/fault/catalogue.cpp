// The names of the places.
#include "fault/catalogue.hpp"

#include <string>

namespace test {

std::string_view to_string(fault_place where) {
    switch (where) {
        case fault_place::query: return "pool.query";
        case fault_place::stream: return "row stream";
        case fault_place::lease: return "lease";
        case fault_place::pipeline: return "pipeline";
        case fault_place::batch: return "transactional pipeline";
        case fault_place::transaction: return "transaction";
        case fault_place::commit: return "COMMIT";
        case fault_place::copy_data: return "COPY data";
        case fault_place::copy_end: return "COPY end";
    }
    return "";
}

const std::vector<fault_place>& all_places() {
    static const std::vector<fault_place> all{
        fault_place::query,    fault_place::stream,    fault_place::lease,
        fault_place::pipeline, fault_place::batch,     fault_place::transaction,
        fault_place::commit,   fault_place::copy_data, fault_place::copy_end};
    return all;
}

std::logic_error not_parked(fault_place where) {
    return std::logic_error("no client is parked at: " + std::string(to_string(where)));
}

}  // namespace test
