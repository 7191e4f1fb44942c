// Keeps the certificate that handshakes show, given or made, and replaces it in time.
#pragma once

#include "base/async_semaphore.hpp"
#include "base/deadline.hpp"
#include "base/strand.hpp"
#include "server/base/event_log.hpp"
#include "server/base/periodic.hpp"
#include "server/tls/certificate_pair.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <openssl/ssl.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

namespace bitdotio {

namespace asio = boost::asio;

/// Where a server's certificate comes from.
struct certificate_source {
    certificate_source() = default;

    /// Files that somebody else maintains; empty for a certificate of our own authority.
    std::filesystem::path certificate_file;
    std::filesystem::path key_file;
    /// What clients should trust with a given certificate; empty to find out.
    std::filesystem::path ca_file;
    /// Where our own authority is kept; see open_tls_identity.
    std::filesystem::path directory;
    std::string listen;
};

/// Shows a certificate to clients, and checks from time to time whether it is still current:
/// changed files are read again; our own certificate is made anew when less than a third of its
/// life is left. Open connections keep what they have seen.
///
/// Thread safety: its functions may be called from any thread, `load` before all others.
/// Lifetime: it must outlive the contexts it was given; await `close` if `watch` was called.
class certificate_store : public std::enable_shared_from_this<certificate_store> {
public:
    using time = std::chrono::system_clock::time_point;

    certificate_store(asio::any_io_executor executor, certificate_source source,
                      std::chrono::milliseconds interval, std::shared_ptr<event_log> events);

    /// Reads the certificate, or makes it; reads it again if it is due for replacement. It blocks.
    ///
    /// Errors: errc::bad_input, errc::system_failed, naming the file. The former one is shown then.
    void load(time now = std::chrono::system_clock::now());

    /// Makes the context's handshakes show the certificate from now on.
    void serve(SSL_CTX* context);

    /// The PEM file that clients should trust; empty for the system's authorities.
    const std::string& ca_file() const noexcept { return ca_file_; }
    /// The name by which clients reach a server at `address`: the address itself, or the
    /// certificate's name if it is not valid for the address.
    std::string name_for(const std::string& address) const;
    time expires() const;

    /// Begins to check from time to time.
    void watch();
    /// Calls `load` on another thread.
    asio::awaitable<void> reload();
    /// Cancellation: none.
    asio::awaitable<void> close();

private:
    static int choose(SSL* session, void* keeper);
    std::shared_ptr<const certificate_pair> current() const;
    asio::awaitable<void> do_reload();
    asio::awaitable<void> look();

    strand strand_;
    const certificate_source source_;
    const std::shared_ptr<event_log> events_;
    std::string ca_file_;
    mutable std::mutex mutex_;  ///< guards `shown_`
    std::shared_ptr<const certificate_pair> shown_;
    std::string complaint_;     ///< the last one reported, which is not repeated
    async_semaphore loads_{1};  ///< two loads at once could mix the halves of two pairs
    periodic looks_;
};

}  // namespace bitdotio
