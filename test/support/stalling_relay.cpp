// Polls all sockets; what a side has sent too much waits in the kernel.
#include "support/stalling_relay.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <stdexcept>
#include <vector>

namespace test {

namespace {

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

constexpr int quiet_milliseconds = 100;

// The two sockets of a connection: of the client, of the server.
using both_sides = std::array<int, 2>;

}  // namespace

stalling_relay::stalling_relay(std::uint16_t target, std::size_t from_client,
                               std::size_t from_server)
    : target_(target),
      left_{from_client, from_server},
      listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (listening_ < 0 || ::bind(listening_, any, size) != 0 || ::listen(listening_, 16) != 0 ||
        ::getsockname(listening_, any, &size) != 0 || ::pipe2(end_, O_CLOEXEC) != 0) {
        throw std::runtime_error("no relay");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
}

stalling_relay::~stalling_relay() {
    ::close(end_[1]);
    thread_.join();
    ::close(end_[0]);
    ::close(listening_);
}

void stalling_relay::serve() {
    std::vector<both_sides> open;
    std::vector<char> piece(65'536);
    for (;;) {
        std::vector<pollfd> looks = {{end_[0], POLLIN, 0}, {listening_, POLLIN, 0}};
        for (const both_sides& each : open) {
            for (std::size_t side = 0; side < 2; ++side) {
                const bool takes = left_[side] > 0;
                looks.push_back({takes ? each[side] : -1, POLLIN, 0});
            }
        }
        const bool full = left_[0] == 0 || left_[1] == 0;
        const int most_milliseconds = full && !stalled_ ? quiet_milliseconds : -1;
        if (::poll(looks.data(), looks.size(), most_milliseconds) == 0) stalled_ = true;
        if (looks[0].revents != 0) break;
        for (std::size_t i = open.size(); i-- > 0;) {
            bool ended = false;
            for (std::size_t side = 0; side < 2 && !ended; ++side) {
                if (looks[2 + 2 * i + side].revents == 0) continue;
                const std::size_t most = std::min(piece.size(), left_[side]);
                const ssize_t got = ::read(open[i][side], piece.data(), most);
                ended = got <= 0;
                if (ended) break;
                left_[side] -= static_cast<std::size_t>(got);
                for (ssize_t sent = 0; sent < got && !ended;) {
                    const ssize_t put = ::send(open[i][1 - side], piece.data() + sent,
                                               static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
                    ended = put <= 0;
                    sent += put;
                }
            }
            if (!ended) continue;
            for (const int socket : open[i])
                ::close(socket);
            open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
        }
        if (looks[1].revents != 0) {
            const int client = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
            const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            const sockaddr_in address = loopback(target_);
            if (client >= 0 && ::connect(server, reinterpret_cast<const sockaddr*>(&address),
                                         sizeof address) == 0) {
                open.push_back({client, server});
            } else {
                ::close(client);
                ::close(server);
            }
        }
    }
    for (const both_sides& each : open) {
        for (const int socket : each)
            ::close(socket);
    }
}

}  // namespace test
