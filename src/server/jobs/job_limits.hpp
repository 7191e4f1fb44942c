// How much of the disk and of memory jobs may take.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitdotio {

/// The limits of all jobs that are kept. See local_server_options for those in bytes and jobs.
struct job_limits {
    job_limits() = default;

    std::uint64_t uploads_of_account = std::uint64_t{32} << 30;
    std::uint64_t uploads_in_all = std::uint64_t{64} << 30;
    std::uint64_t exports_of_account = std::uint64_t{32} << 30;
    std::uint64_t exports_in_all = std::uint64_t{64} << 30;
    std::size_t jobs_of_account = 1'000;
    std::size_t jobs_in_all = 10'000;
    /// Of the statements of exports that wait or run; they are forgotten when a job is over.
    std::size_t statements_of_account = std::size_t{16} << 20;
    std::size_t statements_in_all = std::size_t{64} << 20;
    /// What is kept of the words of a failed job.
    std::size_t error_message = std::size_t{8} << 10;
};

}  // namespace bitdotio
