// Gives OpenSSL a BIO that hands it what has come, and gathers what is to be sent.
#include "server/base/tls_socket.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

namespace bitdotio {

namespace {

using boost::system::error_code;

// What one call of OpenSSL's receives at most before it has to come back: a record, and perhaps
// the rest of another. It would go on for as long as messages of TLS's own arrive, such as requests
// for new keys, and each of these is answered.
constexpr std::size_t most_received = 16 * 1024;

error_code last_error() {
    return error_code(errno, boost::system::system_category());
}

bool is_wait(int number) {
    return number == EAGAIN || number == EWOULDBLOCK || number == EINTR;
}

// Is counted as long as it lives.
class presence {
public:
    explicit presence(int& many) noexcept : many_(many) { ++many_; }
    ~presence() { --many_; }
    presence(const presence&) = delete;
    presence& operator=(const presence&) = delete;

private:
    int& many_;
};

}  // namespace

void tls_socket::start_over(socket plain) {
    session_.reset();
    came_ = taken_ = 0;
    drained_ = false;
    outgoing_.clear();
    sent_ = 0;
    broken_.clear();
    plain_ = std::move(plain);
}

// Called by OpenSSL.
int tls_socket::read_bio(BIO* bio, char* room, int most) {
    auto& self = *static_cast<tls_socket*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    if (self.has_incoming()) {
        const std::size_t size = std::min(static_cast<std::size_t>(most), self.came_ - self.taken_);
        std::memcpy(room, self.incoming_.data() + self.taken_, size);
        self.taken_ += size;
        self.received_ += size;
        return static_cast<int>(size);
    }
    if (self.received_ >= most_received || self.drained_) {
        BIO_set_retry_read(bio);
        return -1;
    }
    const auto got =
        ::recv(self.plain_.native_handle(), room, static_cast<std::size_t>(most), MSG_DONTWAIT);
    if (got > 0) {
        self.received_ += static_cast<std::size_t>(got);
        return static_cast<int>(got);
    }
    if (got == 0) {
        self.broken_ = asio::ssl::error::stream_truncated;
        return 0;
    }
    if (is_wait(errno)) {
        BIO_set_retry_read(bio);
    } else {
        self.broken_ = last_error();
    }
    return -1;
}

int tls_socket::write_bio(BIO* bio, const char* bytes, int size) {
    auto& self = *static_cast<tls_socket*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    try {
        self.outgoing_.insert(self.outgoing_.end(), bytes, bytes + size);
    } catch (const std::bad_alloc&) {
        self.broken_ = asio::error::no_memory;
        return -1;
    }
    return size;
}

long tls_socket::control_bio(BIO*, int what, long, void*) {
    return what == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD* tls_socket::bio_method() {
    // Made once, and needed until the process ends.
    static BIO_METHOD* const made = [] {
        BIO_METHOD* const method =
            BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bitdotio socket");
        if (!method) throw std::bad_alloc();
        BIO_meth_set_read(method, read_bio);
        BIO_meth_set_write(method, write_bio);
        BIO_meth_set_ctrl(method, control_bio);
        return method;
    }();
    return made;
}

void tls_socket::begin_tls(asio::ssl::context& how) {
    std::unique_ptr<SSL, session_end> made(SSL_new(how.native_handle()));
    BIO* const bio = made ? BIO_new(bio_method()) : nullptr;
    if (!bio) throw std::bad_alloc();
    BIO_set_data(bio, this);
    BIO_set_init(bio, 1);
    SSL_set_bio(made.get(), bio, bio);
    // A whole message by one call of the system, not its head and then its body.
    SSL_set_read_ahead(made.get(), 1);
    incoming_.resize(incoming_size);
    session_ = std::move(made);
}

asio::awaitable<void> tls_socket::accept_tls(asio::ssl::context& how) {
    begin_tls(how);
    SSL_set_accept_state(session_.get());
    co_await handshake();
}

asio::awaitable<void> tls_socket::connect_tls(asio::ssl::context& how, std::string host,
                                              bool verify) {
    begin_tls(how);
    SSL_set_connect_state(session_.get());
    error_code not_numeric;
    asio::ip::make_address(host, not_numeric);
    if (not_numeric) SSL_set_tlsext_host_name(session_.get(), host.c_str());
    if (verify) {
        const bool named = not_numeric ? SSL_set1_host(session_.get(), host.c_str()) == 1
                                       : X509_VERIFY_PARAM_set1_ip_asc(
                                             SSL_get0_param(session_.get()), host.c_str()) == 1;
        if (!named) throw std::bad_alloc();
    }
    co_await handshake();
}

asio::awaitable<void> tls_socket::handshake() {
    error_code failure;
    while (true) {
        begin_call();
        const int done = SSL_do_handshake(session_.get());
        if (done != 1 && !wants_more(done)) failure = failure_of_session(done);
        // An alert says why, if it gets through.
        error_code unsent;
        co_await flush(unsent);
        if (!failure) failure = unsent;
        if (failure) throw boost::system::system_error(failure);
        if (done == 1) co_return;
        came(co_await receive(asio::buffer(incoming_), failure), failure);
        if (failure) throw boost::system::system_error(failure);
    }
}

// OpenSSL tells its own errors by its queue, where others may have left some.
void tls_socket::begin_call() noexcept {
    received_ = 0;
    ERR_clear_error();
}

// Whether OpenSSL's last call, which returned that, failed because there is no more to read yet.
// SSL_want_read alone says so after a handshake's fatal errors, too.
bool tls_socket::wants_more(int result) const noexcept {
    return !broken_ && SSL_get_error(session_.get(), result) == SSL_ERROR_WANT_READ;
}

// Why OpenSSL's last call failed, which returned that and had not to wait.
error_code tls_socket::failure_of_session(int result) {
    if (SSL_get_error(session_.get(), result) == SSL_ERROR_ZERO_RETURN) {
        ERR_clear_error();
        return asio::error::eof;
    }
    error_code failure = broken_;
    if (const unsigned long number = ERR_get_error(); !failure && number != 0) {
        failure = error_code(static_cast<int>(number), asio::error::get_ssl_category());
    }
    ERR_clear_error();
    if (!failure) failure = asio::ssl::error::unspecified_system_error;
    return failure;
}

// Reads what OpenSSL has, or gets without waiting; asio::error::would_block if that is nothing.
std::size_t tls_socket::try_read(asio::mutable_buffer room, error_code& failure) {
    failure.clear();
    std::size_t size = 0;
    begin_call();
    const int done = SSL_read_ex(session_.get(), room.data(), room.size(), &size);
    if (done == 1) return size;
    failure = wants_more(done) ? error_code(asio::error::would_block) : failure_of_session(done);
    return 0;
}

// Not a coroutine of its own.
asio::awaitable<std::size_t> tls_socket::receive(asio::mutable_buffer room, error_code& failure) {
    return plain_.async_read_some(room, asio::redirect_error(asio::use_awaitable, failure));
}

// Notes what was received for OpenSSL.
void tls_socket::came(std::size_t size, error_code& failure) {
    taken_ = 0;
    came_ = size;
    drained_ = size < incoming_.size();
    if (failure == asio::error::eof) failure = asio::ssl::error::stream_truncated;
}

asio::awaitable<std::size_t> tls_socket::read_some(asio::mutable_buffer room, error_code& failure) {
    if (!session_) co_return co_await receive(room, failure);
    bool ready = holds_unread();
    while (true) {
        if (has_answer()) {  // before anything is taken that a cancellation would lose
            co_await flush(failure);
            if (failure) co_return 0;
        }
        if (!ready) {
            came(co_await receive(asio::buffer(incoming_), failure), failure);
            if (failure) co_return 0;
        }
        const std::size_t size = try_read(room, failure);
        if (size > 0 && has_answer()) {
            send_unsent(failure);  // the rest when more is read, or written
            if (failure == asio::error::would_block) failure.clear();
        }
        if (failure != asio::error::would_block) co_return size;
        failure.clear();
        ready = false;
    }
}

asio::awaitable<void> tls_socket::read(asio::mutable_buffer room) {
    error_code failure;
    while (room.size() > 0) {
        const std::size_t size = co_await read_some(room, failure);
        room += size;
        if (failure) throw boost::system::system_error(failure);
    }
}

std::size_t tls_socket::send_some(asio::const_buffer bytes, error_code& failure) {
    failure.clear();
    const auto size =
        ::send(plain_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size >= 0) return static_cast<std::size_t>(size);
    failure = is_wait(errno) ? error_code(asio::error::would_block) : last_error();
    return 0;
}

// Sends until nothing is left, or the socket is full: asio::error::would_block.
void tls_socket::send_unsent(error_code& failure) {
    while (has_unsent()) {
        sent_ += send_some(asio::buffer(outgoing_) + sent_, failure);
        if (failure) return;
    }
    outgoing_.clear();
    sent_ = 0;
}

// A reader and a writer may both be here: each sends what is left.
asio::awaitable<void> tls_socket::flush(error_code& failure) {
    failure.clear();
    const presence here(flushes_);
    while (true) {
        send_unsent(failure);
        if (failure != asio::error::would_block) co_return;
        co_await plain_.async_wait(socket::wait_write,
                                   asio::redirect_error(asio::use_awaitable, failure));
        if (failure) co_return;
    }
}

bool tls_socket::put(asio::const_buffer bytes, error_code& failure) {
    failure.clear();
    if (session_) {
        std::size_t size = 0;
        begin_call();
        if (bytes.size() > 0) {
            const int done = SSL_write_ex(session_.get(), bytes.data(), bytes.size(), &size);
            if (done != 1) {
                failure = failure_of_session(done);
                return false;
            }
        }
        send_unsent(failure);
    } else {
        while (bytes.size() > 0 && !failure && !has_unsent()) {
            bytes += send_some(bytes, failure);
        }
        if (failure && failure != asio::error::would_block) return false;
        const auto* const rest = static_cast<const char*>(bytes.data());
        outgoing_.insert(outgoing_.end(), rest, rest + bytes.size());
    }
    if (failure == asio::error::would_block) failure.clear();
    return !failure && has_unsent();
}

asio::awaitable<void> tls_socket::write(asio::const_buffer bytes, error_code& failure) {
    if (put(bytes, failure)) co_await flush(failure);
}

asio::awaitable<void> tls_socket::write(asio::const_buffer bytes) {
    error_code failure;
    co_await write(bytes, failure);
    if (failure) throw boost::system::system_error(failure);
}

asio::awaitable<void> tls_socket::say_close(error_code& failure) {
    failure.clear();
    if (!session_ || !SSL_is_init_finished(session_.get())) co_return;
    SSL_shutdown(session_.get());
    ERR_clear_error();
    co_await flush(failure);
}

}  // namespace bitdotio
