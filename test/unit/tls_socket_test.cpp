// The server's TLS socket against a client of OpenSSL's that does what well-meaning ones do not.
#include "support/child.hpp"
#include "support/run.hpp"

#include "server/base/tls_socket.hpp"
#include "server/tls/tls_identity.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include <doctest/doctest.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace asio = boost::asio;
using bitdotio::tls_socket;

asio::ssl::context& context_of_server() {
    static const test::temporary_directory directory;
    static asio::ssl::context made = [] {
        const bitdotio::tls_identity own =
            bitdotio::open_tls_identity(directory / "tls", "127.0.0.1");
        asio::ssl::context context(asio::ssl::context::tls_server);
        context.use_certificate_chain_file(own.certificate_file.string());
        context.use_private_key_file(own.key_file.string(), asio::ssl::context::pem);
        return context;
    }();
    return made;
}

// A client whose calls block, on the other end of a pair of sockets.
class raw_client {
public:
    raw_client(int end, int verify) : end_(end), context_(SSL_CTX_new(TLS_client_method())) {
        SSL_CTX_set_verify(context_.get(), verify, nullptr);
        session_.reset(SSL_new(context_.get()));
        SSL_set_fd(session_.get(), end_);
    }
    ~raw_client() { ::close(end_); }
    raw_client(const raw_client&) = delete;
    raw_client& operator=(const raw_client&) = delete;

    bool connect() { return SSL_connect(session_.get()) == 1; }

    // Asks for a new key so many times, then says a word; all of it is in the socket at once.
    bool flood(int times) {
        BIO* const gathered = BIO_new(BIO_s_mem());
        SSL_set0_wbio(session_.get(), gathered);
        for (int i = 0; i < times; ++i) {
            if (SSL_key_update(session_.get(), SSL_KEY_UPDATE_REQUESTED) != 1) return false;
            if (SSL_do_handshake(session_.get()) != 1) return false;
        }
        if (SSL_write(session_.get(), "x", 1) != 1) return false;
        char* bytes = nullptr;
        const long size = BIO_get_mem_data(gathered, &bytes);
        return ::send(end_, bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL) == size;
    }

    // Writes, and sends what becomes of it in pieces of these sizes, in turn: each once the one
    // before it was received.
    void send_cut(const std::string& words, const std::vector<std::size_t>& sizes, int to) {
        BIO* const gathered = BIO_new(BIO_s_mem());
        SSL_set0_wbio(session_.get(), gathered);
        SSL_write(session_.get(), words.data(), static_cast<int>(words.size()));
        char* bytes = nullptr;
        auto left = static_cast<std::size_t>(BIO_get_mem_data(gathered, &bytes));
        for (std::size_t turn = 0; left > 0; ++turn) {
            const std::size_t size = std::min(left, sizes[turn % sizes.size()]);
            if (::send(end_, bytes, size, MSG_NOSIGNAL) != static_cast<ssize_t>(size)) return;
            bytes += size;
            left -= size;
            for (int waiting = 1; waiting > 0;) {
                std::this_thread::yield();
                if (::ioctl(to, FIONREAD, &waiting) != 0) return;
            }
        }
        ::shutdown(end_, SHUT_WR);
    }

    // Reads so much, or up to the end.
    std::string take(std::size_t size) {
        std::string taken(size, '\0');
        std::size_t have = 0;
        while (have < size) {
            const int got =
                SSL_read(session_.get(), taken.data() + have, static_cast<int>(size - have));
            if (got <= 0) break;
            have += static_cast<std::size_t>(got);
        }
        taken.resize(have);
        return taken;
    }

private:
    struct release {
        void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
        void operator()(SSL* session) const noexcept { SSL_free(session); }
    };
    const int end_;
    std::unique_ptr<SSL_CTX, release> context_;
    std::unique_ptr<SSL, release> session_;
};

struct joined_pair {
    explicit joined_pair(const asio::any_io_executor& executor) {
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        server.emplace(
            tls_socket::socket(executor, asio::generic::stream_protocol(AF_UNIX, 0), ends[0]));
    }
    int ends[2];
    std::optional<tls_socket> server;
};

asio::awaitable<void> greet(joined_pair& pair, raw_client& client) {
    bool connected = false;
    std::thread greeting([&] { connected = client.connect(); });
    co_await pair.server->accept_tls(context_of_server());
    greeting.join();
    REQUIRE(connected);
}

asio::awaitable<void> read_word(tls_socket& from, std::string& into, bool& over) {
    char word = 0;
    boost::system::error_code failure;
    const std::size_t size = co_await from.read_some(asio::buffer(&word, 1), failure);
    into.assign(&word, size);
    over = true;
}

// The most that was received without a turn for others.
asio::awaitable<int> longest_turn(int end, const bool& over) {
    int longest = 0;
    int left = 0;
    ::ioctl(end, FIONREAD, &left);
    while (!over) {
        co_await asio::post(asio::use_awaitable);
        int now = 0;
        ::ioctl(end, FIONREAD, &now);
        longest = std::max(longest, left - now);
        left = now;
    }
    co_return longest;
}

asio::awaitable<void> take_flood() {
    const auto executor = co_await asio::this_coro::executor;
    joined_pair pair(executor);
    raw_client client(pair.ends[1], SSL_VERIFY_NONE);
    co_await greet(pair, client);
    REQUIRE(client.flood(3'000));
    std::string word;
    bool over = false;
    asio::co_spawn(executor, read_word(*pair.server, word, over), asio::detached);
    const int longest = co_await longest_turn(pair.ends[0], over);
    CHECK(word == "x");
    CHECK(longest > 0);
    CHECK(longest < 40'000);  // of 80,000
}

// More than a socket has room for.
std::string numbers() {
    std::string words;
    while (words.size() < 4'000'000) {
        words += std::to_string(words.size()) + " ";
    }
    return words;
}

asio::awaitable<void> write_in_pieces(tls_socket& to, const std::string& words, bool& over) {
    constexpr std::size_t piece = 16 * 1024;
    boost::system::error_code failure;
    for (std::size_t at = 0; at < words.size() && !failure; at += piece) {
        const auto rest = asio::buffer(words.data() + at, std::min(piece, words.size() - at));
        co_await to.write(rest, failure);
    }
    over = true;
}

asio::awaitable<void> read_beside_a_full_socket() {
    const auto executor = co_await asio::this_coro::executor;
    joined_pair pair(executor);
    raw_client client(pair.ends[1], SSL_VERIFY_NONE);
    co_await greet(pair, client);
    const std::string words = numbers();
    bool written = false;
    asio::co_spawn(executor, write_in_pieces(*pair.server, words, written), asio::detached);
    REQUIRE(client.flood(3));
    std::string word;
    bool read = false;
    co_await read_word(*pair.server, word, read);
    CHECK(word == "x");
    CHECK_FALSE(written);
    std::string taken;
    std::thread reading([&] { taken = client.take(words.size()); });
    while (!written) {
        co_await asio::post(asio::use_awaitable);
    }
    reading.join();
    const bool same = taken == words;
    CHECK(same);
}

asio::awaitable<void> read_pieces(std::vector<std::size_t> sizes) {
    joined_pair pair(co_await asio::this_coro::executor);
    raw_client client(pair.ends[1], SSL_VERIFY_NONE);
    co_await greet(pair, client);
    const std::string words = numbers().substr(0, 100'000);
    std::thread sending([&] { client.send_cut(words, sizes, pair.ends[0]); });
    std::string taken;
    boost::system::error_code failure;
    std::vector<char> room(16 * 1024);
    while (!failure) {
        const std::size_t size = co_await pair.server->read_some(asio::buffer(room), failure);
        taken.append(room.data(), size);
    }
    sending.join();
    const bool same = taken == words;
    CHECK(same);
    CHECK(failure == asio::ssl::error::stream_truncated);  // it has not said goodbye
}

asio::awaitable<void> write_in_the_clear() {
    const auto executor = co_await asio::this_coro::executor;
    joined_pair pair(executor);
    const std::string words = numbers();
    bool written = false;
    asio::co_spawn(executor, write_in_pieces(*pair.server, words, written), asio::detached);
    std::string taken(words.size(), '\0');
    std::thread reading([&] { ::recv(pair.ends[1], taken.data(), taken.size(), MSG_WAITALL); });
    while (!written) {
        co_await asio::post(asio::use_awaitable);
    }
    reading.join();
    ::close(pair.ends[1]);
    const bool same = taken == words;
    CHECK(same);
}

asio::awaitable<void> be_rejected() {
    joined_pair pair(co_await asio::this_coro::executor);
    raw_client client(pair.ends[1], SSL_VERIFY_PEER);  // and it trusts nobody
    bool connected = true;
    std::thread greeting([&] { connected = client.connect(); });
    boost::system::error_code failure;
    try {
        co_await pair.server->accept_tls(context_of_server());
    } catch (const boost::system::system_error& thrown) {
        failure = thrown.code();
    }
    greeting.join();
    CHECK_FALSE(connected);
    CHECK(failure.category() == asio::error::get_ssl_category());
    CHECK(failure.message().find("unknown ca") != std::string::npos);
}

// What is no handshake, and then the end.
asio::awaitable<void> be_mistaken() {
    joined_pair pair(co_await asio::this_coro::executor);
    const std::string nonsense = "\x16\x03\x01\x7f\xff" + std::string(64, 'x');
    REQUIRE(::send(pair.ends[1], nonsense.data(), nonsense.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(nonsense.size()));
    ::shutdown(pair.ends[1], SHUT_WR);
    boost::system::error_code failure;
    try {
        co_await pair.server->accept_tls(context_of_server());
    } catch (const boost::system::system_error& thrown) {
        failure = thrown.code();
    }
    ::close(pair.ends[1]);
    CHECK(failure.category() == asio::error::get_ssl_category());
}

}  // namespace

TEST_CASE("a flood of requests for new TLS keys leaves turns to others") {
    test::run(take_flood());
}

TEST_CASE(
    "a reader with an answer of TLS's own does not wait for the room that a writer waits for") {
    test::run(read_beside_a_full_socket(), std::chrono::seconds(30));
}

TEST_CASE("what TLS brings is whole, in whatever pieces it comes") {
    test::run(read_pieces({1, 5, 70}), std::chrono::seconds(60));
    test::run(read_pieces({4'095, 1, 4'096, 4'097}), std::chrono::seconds(30));
    test::run(read_pieces({16'384, 30'000, 3}), std::chrono::seconds(30));
}

TEST_CASE("what a socket had no room for follows in order, without TLS too") {
    test::run(write_in_the_clear(), std::chrono::seconds(30));
}

TEST_CASE("a TLS alert is told as what it is, not as an orderly end") {
    test::run(be_rejected());
}

TEST_CASE("what is no TLS handshake ends it at once") {
    test::run(be_mistaken(), std::chrono::seconds(10));
}
