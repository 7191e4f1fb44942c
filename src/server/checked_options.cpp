// Names the option that is wrong, and what would be right.
#include "server/checked_options.hpp"

#include <bitdotio/error.hpp>

#include "base/saturated.hpp"

#include <chrono>
#include <string>
#include <tuple>
#include <utility>

namespace bitdotio {

// "Never" is a time that the clock can count.
local_server_options bounded(local_server_options options) {
    for (std::chrono::milliseconds* time :
         {&options.sleep_after, &options.idle_session_timeout, &options.session_life,
          &options.stop_grace, &options.wake_timeout, &options.storage_check_interval,
          &options.query_timeout, &options.download_link_life, &options.jobs_kept,
          &options.certificate_check_interval}) {
        *time = capped(*time);
    }
    return options;
}

void check(const local_server_options& options) {
    if (options.max_clients < 1 || options.max_clients_per_address < 1) {
        throw error(errc::bad_input,
                    "a server must let in a client: max_clients and max_clients_per_address are 1 "
                    "or more");
    }
    if (options.reserve_sessions < 0) {
        throw error(errc::bad_input, "local_server_options::reserve_sessions is " +
                                         std::to_string(options.reserve_sessions) +
                                         "; it must be 0 or more");
    }
    const std::pair<const char*, const std::string&> texts[] = {
        {"data_directory", options.data_directory.native()},
        {"backend", options.backend},
        {"listen", options.listen},
        {"user", options.user},
        {"profile_file", options.profile_file.native()},
        {"postgres_programs", options.postgres_programs.native()},
        {"run_as", options.run_as},
        {"certificate_file", options.certificate_file.native()},
        {"private_key_file", options.private_key_file.native()},
        {"certificate_authority_file", options.certificate_authority_file.native()}};
    for (const auto& [name, value] : texts) {
        if (value.find('\0') != std::string::npos) {
            throw error(errc::bad_input,
                        std::string("local_server_options::") + name + " contains a zero byte");
        }
    }
    const std::tuple<const char*, std::chrono::milliseconds, int> times[] = {
        {"sleep_after", options.sleep_after, 0},
        {"idle_session_timeout", options.idle_session_timeout, 0},
        {"session_life", options.session_life, 0},
        {"stop_grace", options.stop_grace, 0},
        {"wake_timeout", options.wake_timeout, 0},
        {"query_timeout", options.query_timeout, 0},
        {"download_link_life", options.download_link_life, 0},
        {"jobs_kept", options.jobs_kept, 0},
        {"storage_check_interval", options.storage_check_interval, 1},
        {"certificate_check_interval", options.certificate_check_interval, 1}};
    for (const auto& [name, time, least] : times) {
        if (time.count() < least) {
            throw error(errc::bad_input, std::string("local_server_options::") + name + " is " +
                                             std::to_string(time.count()) + " ms; it must be " +
                                             (least > 0 ? "above 0 ms" : "0 ms or more"));
        }
    }
    if (!options.durable && !options.data_directory.empty()) {
        throw error(errc::bad_input,
                    "databases without durability live in a temporary data directory only: name "
                    "none");
    }
    if (options.certificate_file.empty() != options.private_key_file.empty()) {
        throw error(errc::bad_input, options.certificate_file.empty()
                                         ? "a private key was given without its certificate"
                                         : "a certificate was given without its private key");
    }
}

}  // namespace bitdotio
