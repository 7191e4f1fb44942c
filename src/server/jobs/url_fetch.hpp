// Fetches a file from the web, without letting anybody reach the server's own network.
#pragma once

#include "server/jobs/public_address.hpp"
#include "server/jobs/worker_threads.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

namespace bitdotio {

/// The limits of a fetch.
struct fetch_limits {
    fetch_limits() = default;

    std::uint64_t largest = 0;              ///< bytes
    std::chrono::seconds longest{15 * 60};  ///< from beginning to end
    /// For connecting, for the answer to begin, and for each 256 KiB after that: an address that
    /// drips keeps others waiting.
    std::chrono::seconds longest_piece{60};
    int redirects = 5;
    /// Decides which addresses may be reached.
    bool (*may_reach)(const asio::ip::address&) = is_public;
    /// PEM file of further authorities to trust; empty for none.
    std::string ca_file;
};

/// Fetches `url` into `file`; returns the name at the end of its path.
///
/// Every address of a name is checked before it connects, and it connects to the checked address
/// itself; the same holds for the target of every redirect.
///
/// Errors: job_failure ("download_failed", "too_large"), naming the host and never the whole
///     address, which may have secrets. A name that is unknown and one that is not public fail in
///     the same words; job_failure::details tells them apart.
/// Cancellation: terminal.
/// Lifetime: `threads` must outlive it.
asio::awaitable<std::string> fetch_url(worker_threads& threads, std::string url,
                                       std::filesystem::path file, fetch_limits limits);

/// The parts of a web address.
struct web_address {
    bool secure = false;
    std::string host;  ///< without brackets
    std::string port;
    std::string target = "/";  ///< path and query

    /// Errors: job_failure ("download_failed") if it is not http or https, or has a user.
    static web_address parse(const std::string& url);
    /// Where a redirect of this address leads.
    ///
    /// Errors: as parse.
    web_address redirected(const std::string& location) const;
    /// The last part of the path, decoded.
    std::string file_name() const;
};

}  // namespace bitdotio
