// A socket, with TLS over it once that is wanted: bytes go between OpenSSL and the socket directly.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bitdotio {

namespace asio = boost::asio;

/// For sockets that many small messages pass. A message that comes is received by the reactor
/// itself, which arms nothing anew for the next one; what is written needs no operation of Asio's
/// unless the socket is full; and bytes are copied by nobody but OpenSSL and, once, on their way in
/// and on their way out, where several records become one packet, or where they wait for room.
///
/// What it throws, and puts into error codes, are Asio's errors and OpenSSL's: asio::error::eof for
/// a stream that the other side has ended, by close_notify if there is TLS;
/// asio::ssl::error::stream_truncated for one that broke off.
///
/// Thread safety: one thread at a time; one read and one write may be under way at once.
/// Lifetime: it must outlive its operations. Cancellation of each: terminal, partial, total.
class tls_socket {
public:
    using socket = asio::generic::stream_protocol::socket;
    using executor_type = socket::executor_type;

    explicit tls_socket(socket plain) : plain_(std::move(plain)) {}
    tls_socket(const tls_socket&) = delete;
    tls_socket& operator=(const tls_socket&) = delete;

    executor_type get_executor() noexcept { return plain_.get_executor(); }
    socket& plain() noexcept { return plain_; }
    /// The TLS session; null without one.
    SSL* session() const noexcept { return session_.get(); }
    /// Forgets the TLS session, and goes on with another socket.
    void start_over(socket plain);

    /// Secures the connection as its server.
    asio::awaitable<void> accept_tls(asio::ssl::context& how);
    /// Secures it as its client.
    ///
    /// Parameters: `host` is what the server is called; `verify` that its certificate must say so.
    asio::awaitable<void> connect_tls(asio::ssl::context& how, std::string host, bool verify);

    /// Reads what is there, once something is.
    asio::awaitable<std::size_t> read_some(asio::mutable_buffer room,
                                           boost::system::error_code& failure);
    /// Reads until `room` is full.
    asio::awaitable<void> read(asio::mutable_buffer room);
    /// Returns when all bytes are in the socket.
    asio::awaitable<void> write(asio::const_buffer bytes, boost::system::error_code& failure);
    asio::awaitable<void> write(asio::const_buffer bytes);
    /// Takes all bytes without waiting, and hands the socket what it has room for. Returns whether
    /// there is a rest, which `flush` hands it.
    bool put(asio::const_buffer bytes, boost::system::error_code& failure);
    /// Returns when all that was taken is in the socket.
    asio::awaitable<void> flush(boost::system::error_code& failure);

    /// Says close_notify, if there is TLS, without waiting for the other side's.
    asio::awaitable<void> say_close(boost::system::error_code& failure);

private:
    static constexpr std::size_t most_unsent = 256 * 1024;
    // Room for a small message or some: the rest of a large one goes straight to OpenSSL.
    static constexpr std::size_t incoming_size = 4 * 1024;

    struct session_end {
        void operator()(SSL* session) const noexcept { SSL_free(session); }
    };

    void begin_tls(asio::ssl::context& how);
    asio::awaitable<void> handshake();
    bool has_incoming() const noexcept { return taken_ < came_; }
    // What was received already is announced by no event.
    bool holds_unread() const noexcept { return has_incoming() || SSL_has_pending(session_.get()); }
    asio::awaitable<std::size_t> receive(asio::mutable_buffer room,
                                         boost::system::error_code& failure);
    void came(std::size_t size, boost::system::error_code& failure);
    std::size_t try_read(asio::mutable_buffer room, boost::system::error_code& failure);
    bool has_unsent() const noexcept { return sent_ < outgoing_.size(); }
    // Whether TLS has an answer of its own to what was read, such as a new key. Where a writer
    // waits for room, it goes along with the rest: a reader that waited too would keep a client
    // waiting that sends all before it reads. But it waits if such answers pile up.
    bool has_answer() const noexcept {
        return has_unsent() && (flushes_ == 0 || outgoing_.size() > most_unsent);
    }
    std::size_t send_some(asio::const_buffer bytes, boost::system::error_code& failure);
    void begin_call() noexcept;
    bool wants_more(int result) const noexcept;
    boost::system::error_code failure_of_session(int result);
    void send_unsent(boost::system::error_code& failure);

    static BIO_METHOD* bio_method();
    static int read_bio(BIO* bio, char* room, int size);
    static int write_bio(BIO* bio, const char* bytes, int size);
    static long control_bio(BIO* bio, int what, long number, void* pointer);

    socket plain_;
    std::unique_ptr<SSL, session_end> session_;
    std::vector<char> incoming_;        ///< for OpenSSL, which has taken some
    std::size_t came_ = 0;              ///< of that
    std::size_t taken_ = 0;             ///< of that
    bool drained_ = false;              ///< the socket had no more than came
    std::size_t received_ = 0;          ///< by OpenSSL's present call
    std::vector<char> outgoing_;        ///< what is not in the socket yet
    std::size_t sent_ = 0;              ///< of that
    int flushes_ = 0;                   ///< how many wait for room
    boost::system::error_code broken_;  ///< what the socket said last to OpenSSL, if not "wait"
};

}  // namespace bitdotio
