// How a job ends badly, and the clock of jobs.
#pragma once

#include "server/catalog/key_secret.hpp"
#include "server/jobs/job_record.hpp"

#include <chrono>
#include <string>

namespace bitdotio {

inline std::chrono::sys_time<std::chrono::microseconds> job_now() {
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

inline void fail(job_record& record, const std::string& type, const std::string& message) {
    record.state = job_state::failed;
    record.error_type = type;
    record.error_id = new_id();
    record.error_message = message;
    record.date_finished = job_now();
}

}  // namespace bitdotio
