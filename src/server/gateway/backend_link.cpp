// Opens a session host by host: connection, TLS, password, greeting.
#include "server/gateway/backend_link.hpp"

#include <bitdotio/error.hpp>

#include "postgres/conninfo.hpp"
#include "server/hosts/scram_client.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string_view>

namespace bitdotio {

namespace {

using asio::use_awaitable;
using asio::ip::tcp;
using namespace std::string_view_literals;

// The time for one server to accept a connection, secure it and say who it is.
constexpr std::chrono::seconds server_patience{10};
// The pause between two rounds over all hosts.
constexpr std::chrono::milliseconds shortest_pause{100};
constexpr std::chrono::milliseconds longest_pause{1'000};
// The limit on what PostgreSQL says before a session begins: settings and notices.
constexpr std::size_t max_greeting_size = 1024 * 1024;

// The kinds of AuthenticationXXX messages.
constexpr std::uint32_t authentication_ok = 0;
constexpr std::uint32_t authentication_cleartext = 3;
constexpr std::uint32_t authentication_md5 = 5;
constexpr std::uint32_t authentication_sasl = 10;
constexpr std::uint32_t authentication_sasl_continue = 11;
constexpr std::uint32_t authentication_sasl_final = 12;

std::string name_of(const backend_address& where) {
    if (where.host.empty()) return "the backend";
    return "the backend " + where.host;
}

bool is_tcp(const backend_address& where) {
    const int family = where.endpoint.protocol().family();
    return family == tcp::v4().family() || family == tcp::v6().family();
}

asio::generic::stream_protocol::endpoint unix_socket(const host_port& host) {
    std::string path = host.host + "/.s.PGSQL." + std::to_string(host.port);
    if (path[0] == '@') path[0] = '\0';  // Linux's abstract namespace
    return asio::local::stream_protocol::endpoint(path);
}

bool has_mechanism(std::string_view list, std::string_view wanted) {
    while (!list.empty()) {
        const std::size_t end = list.find('\0');
        if (list.substr(0, end) == wanted) return true;
        if (end == std::string_view::npos) break;
        list.remove_prefix(end + 1);
    }
    return false;
}

error failure_of(const backend_address& where, const boost::system::system_error& thrown) {
    const bool tls = thrown.code().category() == asio::error::get_ssl_category();
    return error(tls ? errc::tls_failed : errc::connection_lost,
                 name_of(where) + ": " + thrown.code().message());
}

}  // namespace

// The state of one `open`, and what the current server has said.
struct backend_link::attempt {
    attempt(const session_target& where_, const startup_message& wish_)
        : where(where_), wish(wish_) {}

    const session_target& where;
    const startup_message& wish;

    std::string received;
    std::size_t read_up_to = 0;
    std::size_t message_at = 0;   // of the last message read
    std::size_t greeting_at = 0;  // of AuthenticationOk
    std::string sqlstate;         // of a refusal
    bool standby = false;
    std::optional<credentials> given;
    backend_greeting greeting;

    // Why the last server was rejected.
    std::optional<error> failure;
    bool may_change = false;  // for any server in this round

    void start_over() {
        received.clear();
        read_up_to = message_at = greeting_at = 0;
        sqlstate.clear();
        standby = false;
        given.reset();
        greeting = backend_greeting();
    }
    void refused(std::string_view message) {
        sqlstate = error_field(message, 'C').value_or("XX000");
    }
};

asio::awaitable<backend_greeting> backend_link::open(session_target where, startup_message wish,
                                                     time_point deadline) {
    attempt now(where, wish);
    asio::steady_timer timer(get_executor());
    std::chrono::milliseconds pause = shortest_pause;
    while (true) {
        now.may_change = false;
        const bool begun = co_await try_all(now, deadline);
        if (begun) co_return std::move(now.greeting);
        if (!where.waits || !now.may_change) break;
        if (from_now(pause) >= deadline) break;
        timer.expires_after(pause);
        co_await timer.async_wait(use_awaitable);
        pause = std::min(2 * pause, longest_pause);
    }
    throw now.failure.value_or(error(errc::connect_failed, "the backend has no address"));
}

asio::awaitable<bool> backend_link::try_all(attempt& now, time_point deadline) {
    for (const host_port& host : now.where.connect.hosts) {
        std::vector<backend_address> found;
        try {
            found = co_await resolve(now.where, host);
        } catch (const boost::system::system_error& thrown) {
            now.failure.emplace(errc::connect_failed, "cannot resolve the host \"" + host.host +
                                                          "\": " + thrown.code().message());
            now.may_change |= thrown.code() == asio::error::host_not_found_try_again;
        }
        for (const backend_address& each : found) {
            const bool begun = co_await try_one(now, each, deadline);
            if (begun) co_return true;
        }
    }
    co_return false;
}

// Returns true if the greeting, or the refusal, is for the client.
asio::awaitable<bool> backend_link::try_one(attempt& now, backend_address where,
                                            time_point deadline) {
    const time_point until = std::min(deadline, from_now(server_patience));
    boost::system::error_code ignored;
    for (int asked = 1; asked <= 2; ++asked) {
        now.start_over();
        std::optional<error> failure;
        try {
            co_await with_deadline(begin(now, where, asked), until);
        } catch (const boost::system::system_error& thrown) {
            failure = failure_of(where, thrown);
        } catch (const error& thrown) {
            failure = thrown;
        }
        // The client's own key was right: an error about our login is not for the client.
        const bool login = now.sqlstate.starts_with("28");
        // Among several hosts, a standby may not know yet what its primary has just made.
        const bool elsewhere = now.sqlstate == "3D000" && now.where.connect.hosts.size() > 1;
        if (failure) {
            now.may_change |=
                failure->code() == errc::connection_lost || failure->code() == errc::timeout;
        } else if (now.standby || now.sqlstate.starts_with("57P")) {
            failure.emplace(errc::connection_lost,
                            name_of(where) + (now.standby ? " is a standby" : " starts or stops"));
            now.may_change = true;
        } else if (now.sqlstate == "28P01" && asked == 1 && now.where.connect.ask_credentials) {
            continue;
        } else if (login || elsewhere) {
            failure.emplace(errc::connect_failed,
                            name_of(where) + " refuses the database's role (" + now.sqlstate + ")");
        } else {
            co_return true;
        }
        now.failure = failure;
        break;
    }
    close(ignored);
    co_return false;
}

asio::awaitable<std::vector<backend_address>> backend_link::resolve(const session_target& where,
                                                                    host_port host) {
    std::vector<backend_address> found;
    backend_address one;
    if (is_unix_socket(host.host)) {
        one.endpoint = unix_socket(host);
        found.push_back(one);
        co_return found;
    }
    one.host = host.host.empty() ? host.address : host.host;
    one.mode = where.connect.tls;
    one.tls = where.tls;
    boost::system::error_code not_numeric;
    const auto numeric =
        asio::ip::make_address(host.address.empty() ? host.host : host.address, not_numeric);
    if (!not_numeric) {
        one.endpoint = tcp::endpoint(numeric, host.port);
        found.push_back(one);
        co_return found;
    }
    tcp::resolver resolver(get_executor());
    const auto entries =
        co_await resolver.async_resolve(host.host, std::to_string(host.port), use_awaitable);
    for (const auto& entry : entries) {
        one.endpoint = entry.endpoint();
        found.push_back(one);
    }
    co_return found;
}

asio::awaitable<void> backend_link::begin(attempt& now, backend_address where, int asked) {
    const connect_options& login = now.where.connect;
    // After a refusal, the password is fetched before everything else: a server looks up what it
    // knows of a password before it asks for one.
    if (asked > 1) now.given = co_await login.ask_credentials(asked);
    co_await connect(std::move(where));
    co_await send(wire_message::startup(now.wish, login.user, login.database, now.where.options));
    co_await authenticate(now);
    if (now.sqlstate.empty()) co_await read_greeting(now);
    now.greeting.bytes = now.received.substr(now.greeting_at);
    // An orderly end, so that the server does not log a complaint about us.
    if (now.standby) co_await send(wire_message::terminate());
}

asio::awaitable<void> backend_link::connect(backend_address where) {
    boost::system::error_code ignored;
    stream_.start_over(tls_socket::socket(get_executor()));
    address_ = std::move(where);
    co_await stream_.plain().async_connect(address_.endpoint, use_awaitable);
    if (!is_tcp(address_)) co_return;
    stream_.plain().set_option(tcp::no_delay(true), ignored);
    stream_.plain().set_option(asio::socket_base::keep_alive(true), ignored);
    if (address_.mode != tls_mode::disable) co_await secure();
}

asio::awaitable<void> backend_link::secure() {
    const tls_mode mode = address_.mode;
    co_await send(wire_message::ssl_request());
    char answer = 0;
    // Reads one octet only: what a stranger appends in the clear fails the handshake.
    const auto room = asio::buffer(&answer, 1);
    co_await stream_.read(room);
    if (answer != 'S') {
        if (answer == 'N' && (mode == tls_mode::prefer || mode == tls_mode::allow)) co_return;
        throw error(errc::tls_failed, name_of(address_) + " has no TLS");
    }
    co_await stream_.connect_tls(*address_.tls, address_.host, mode == tls_mode::verify_full);
}

asio::awaitable<void> backend_link::authenticate(attempt& now) {
    while (true) {
        const std::string message = co_await receive(now);
        if (message[0] == 'E') {
            now.refused(message);
            now.greeting_at = now.message_at;
            co_return;
        }
        if (message[0] == 'N' || message[0] == 'v') continue;
        const auto kind = authentication_kind(message);
        if (!kind) {
            throw error(errc::protocol_violated,
                        name_of(address_) + " does not speak as PostgreSQL");
        }
        if (*kind == authentication_ok) {
            now.greeting_at = now.message_at;
            co_return;
        }
        const bool clear = *kind == authentication_cleartext;
        const bool scram =
            *kind == authentication_sasl &&
            has_mechanism(std::string_view(message).substr(9), scram_client::mechanism);
        if ((!clear && !scram) || !now.where.connect.ask_credentials) {
            const char* what = *kind == authentication_md5 ? "MD5" : "something else";
            throw error(errc::connect_failed,
                        name_of(address_) + " asks the database's role to authenticate by " + what +
                            ": set scram-sha-256 for it in pg_hba.conf");
        }
        if (!now.given) now.given = co_await now.where.connect.ask_credentials(1);
        if (clear) {
            co_await send(wire_message::password(now.given->password));
        } else {
            co_await authenticate_by_scram(now, now.given->password);
            if (!now.sqlstate.empty()) co_return;
        }
    }
}

asio::awaitable<void> backend_link::authenticate_by_scram(attempt& now, std::string password) {
    scram_client client(std::move(password), base64(random_octets(18)));
    co_await send(wire_message::sasl_initial_response(scram_client::mechanism, client.first()));
    for (const std::uint32_t expected : {authentication_sasl_continue, authentication_sasl_final}) {
        const std::string message = co_await receive(now);
        if (message[0] == 'E') {
            now.refused(message);
            now.greeting_at = now.message_at;
            co_return;
        }
        if (authentication_kind(message) != expected) {
            throw error(errc::protocol_violated, name_of(address_) + " breaks off authentication");
        }
        const std::string_view said = std::string_view(message).substr(9);
        if (expected == authentication_sasl_final) {
            client.check(said);
        } else {
            co_await send(wire_message::sasl_response(client.answer(said)));
        }
    }
}

asio::awaitable<void> backend_link::read_greeting(attempt& now) {
    while (now.received.size() < max_greeting_size) {
        const std::string message = co_await receive(now);
        if (const auto key = parse_backend_key_data(message)) {
            now.greeting.key = *key;
            now.greeting.key_at = now.message_at - now.greeting_at;
            co_return;
        }
        if (message[0] == 'Z') co_return;
        if (message[0] == 'E') {
            now.refused(message);
            co_return;
        }
        now.standby |=
            std::string_view(message).substr(5) == "in_hot_standby\0on\0"sv && message[0] == 'S';
    }
}

// Receives the next message, whatever came with it.
asio::awaitable<std::string> backend_link::receive(attempt& now) {
    while (true) {
        const auto rest = std::string_view(now.received).substr(now.read_up_to);
        const auto size = message_size(rest);
        if (size && *size > max_greeting_size) {
            throw error(errc::protocol_violated,
                        name_of(address_) + " does not speak as PostgreSQL");
        }
        if (size && rest.size() >= *size) {
            now.message_at = now.read_up_to;
            now.read_up_to += *size;
            co_return std::string(rest.substr(0, *size));
        }
        std::vector<char> bytes(16 * 1024);
        boost::system::error_code failure;
        const std::size_t got = co_await stream_.read_some(asio::buffer(bytes), failure);
        if (failure) throw boost::system::system_error(failure);
        now.received.append(bytes.data(), got);
    }
}

asio::awaitable<void> backend_link::send(std::string bytes) {
    co_await stream_.write(asio::buffer(std::as_const(bytes)));
}

bool backend_link::is_silent() noexcept {
    char next = 0;
    const auto got = ::recv(stream_.plain().native_handle(), &next, 1, MSG_PEEK | MSG_DONTWAIT);
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

asio::awaitable<void> backend_link::cancel(backend_address where, cancel_key key) {
    co_await connect(std::move(where));
    co_await send(wire_message::cancel_request(key));
    char nothing = 0;
    const auto room = asio::buffer(&nothing, 1);
    boost::system::error_code ended;
    co_await stream_.read_some(room, ended);
}

}  // namespace bitdotio
