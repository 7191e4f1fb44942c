// What the server keeps of a job: enough to do it, to tell of it, and to begin it again.
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
    std::string user;         ///< the account that asked for it, and may ask how far it is
    std::string database_id;  ///< a database may be renamed meanwhile
    bitdotio::role role = bitdotio::role::reader;  ///< what he was there when he asked

    import_options import;
    std::string file_name;  ///< of the imported file, as it was sent; or to download an export by
    std::string file_url;   ///< where to fetch it from; empty if it was sent

    export_options export_;
    std::uint64_t size = 0;  ///< of the exported file

    std::string to_json() const;
    /// Errors: errc::bad_input if the text is not what `to_json` gives.
    static job_record from_json(std::string_view text);
};

}  // namespace bitdotio
