// What the server keeps of a job: enough to run it, to show it, and to begin it again.
#pragma once

#include <bitdotio/jobs.hpp>
#include <bitdotio/models.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace bitdotio {

enum class job_kind { import_, export_ };

/// Thread safety: a value.
struct job_record : job_status {
    job_kind kind = job_kind::import_;
    std::string user;         ///< the account that asked for it, and may ask for its status
    std::string database_id;  ///< a database may be renamed meanwhile
    bitdotio::role role = bitdotio::role::reader;  ///< the account's role there when it asked

    import_options import;
    std::string file_name;  ///< of the imported file, as it was sent; or for an export's download
    std::string file_url;   ///< where to fetch it from; empty if it was sent

    export_options export_;
    std::uint64_t size = 0;  ///< of the exported file

    std::string to_json() const;
    /// Errors: errc::bad_input if the text is not what `to_json` gives.
    static job_record from_json(std::string_view text);
};

}  // namespace bitdotio
