// A web server on this machine, to fetch files from.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include <atomic>
#include <filesystem>
#include <functional>
#include <istream>
#include <memory>
#include <string>
#include <thread>

namespace test {

/// Answers each connection with what `answer` makes of the first line of its request, then hangs
/// up: over TLS without close_notify, as many do.
class web_server {
public:
    using answer = std::function<std::string(const std::string&)>;

    explicit web_server(answer give) : web_server(std::move(give), nullptr) {}
    /// Parameters: PEM files; a client that does not trust the certificate gets no answer.
    web_server(answer give, const std::filesystem::path& certificate,
               const std::filesystem::path& key)
        : web_server(std::move(give), context_of(certificate, key)) {}
    ~web_server() {
        over_ = true;
        boost::asio::ip::tcp::socket last(io_);
        boost::system::error_code ignored;
        last.connect(acceptor_.local_endpoint(), ignored);
        thread_.join();
    }
    web_server(const web_server&) = delete;
    web_server& operator=(const web_server&) = delete;

    std::string url(const std::string& path, const std::string& host = "127.0.0.1") const {
        return (tls_ ? "https://" : "http://") + host + ":" +
               std::to_string(acceptor_.local_endpoint().port()) + path;
    }

private:
    using tls_context = std::shared_ptr<boost::asio::ssl::context>;

    web_server(answer give, tls_context tls)
        : tls_(std::move(tls)),
          acceptor_(io_, {boost::asio::ip::make_address("127.0.0.1"), 0}),
          thread_([this, give = std::move(give)] { serve(give); }) {}

    static tls_context context_of(const std::filesystem::path& certificate,
                                  const std::filesystem::path& key) {
        auto made =
            std::make_shared<boost::asio::ssl::context>(boost::asio::ssl::context::tls_server);
        made->use_certificate_chain_file(certificate);
        made->use_private_key_file(key, boost::asio::ssl::context::pem);
        return made;
    }

    void serve(const answer& give) {
        while (true) {
            boost::system::error_code ended;
            boost::asio::ip::tcp::socket socket = acceptor_.accept(ended);
            if (ended || over_) return;
            if (!tls_) {
                exchange(socket, give);
                continue;
            }
            boost::asio::ssl::stream<boost::asio::ip::tcp::socket&> secured(socket, *tls_);
            secured.handshake(boost::asio::ssl::stream_base::server, ended);
            if (!ended) exchange(secured, give);
        }
    }

    template <class Stream>
    static void exchange(Stream& stream, const answer& give) {
        boost::asio::streambuf request;
        boost::system::error_code ended;
        boost::asio::read_until(stream, request, "\r\n\r\n", ended);
        std::string line;
        std::istream in(&request);
        std::getline(in, line);
        boost::asio::write(stream, boost::asio::buffer(give(line)), ended);
    }

    tls_context tls_;
    boost::asio::io_context io_;
    boost::asio::ip::tcp::acceptor acceptor_;
    std::atomic<bool> over_{false};
    std::thread thread_;
};

/// The answer that contains a file.
inline std::string web_file(const std::string& body) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// The answer that redirects.
inline std::string web_redirect(const std::string& to) {
    return "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + to + "\r\n\r\n";
}

}  // namespace test
