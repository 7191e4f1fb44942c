// A gateway session from the first byte through the splice to the end.
#include <bitdotio/error.hpp>

#include "server/base/tls_shutdown.hpp"
#include "server/catalog/key_secret.hpp"
#include "server/gateway/abandoned_session.hpp"
#include "server/gateway/gateway_session.hpp"
#include "server/gateway/splice.hpp"

#include <chrono>
#include <exception>
#include <utility>
#include <vector>

namespace bitdotio {

namespace {

using asio::use_awaitable;
using asio::ip::tcp;

// A client that has not sent its startup message and its key by then is cut, and so is a
// PostgreSQL that does not answer one.
constexpr std::chrono::seconds startup_patience{30};
// The time for a client to read why its session ends.
constexpr std::chrono::seconds last_words_patience{5};

time_point after(std::chrono::milliseconds patience) {
    return from_now(patience);
}

// Takes the session out of the registry, however it ends.
class registration {
public:
    registration(std::shared_ptr<session_registry> registry, std::uint64_t number)
        : registry_(std::move(registry)), number_(number) {}
    ~registration() { registry_->leave(number_); }
    registration(const registration&) = delete;
    registration& operator=(const registration&) = delete;

private:
    const std::shared_ptr<session_registry> registry_;
    const std::uint64_t number_;
};

// The message in PostgreSQL's own words; empty if there is nothing to say.
std::string words_for(session_watch::ending why) {
    using ending = session_watch::ending;
    switch (why) {
        case ending::none: return "";
        case ending::idle:
            return wire_message::fatal("57P05",
                                       "terminating connection due to idle-session timeout");
        case ending::idle_in_transaction:
            return wire_message::fatal("25P03",
                                       "terminating connection due to idle-in-transaction timeout");
        case ending::life:
            return wire_message::fatal(
                "57P01", "terminating connection at the end of its longest life", "Connect again.");
        case ending::flood:
            return wire_message::fatal("54000", "too many requests wait for an answer",
                                       "Read the answers to some before sending more.");
        case ending::server_stops:
            return wire_message::fatal("57P01",
                                       "terminating connection due to administrator command");
    }
    return "";
}

// The SQLSTATE of the error in a greeting.
std::string refusal_in(std::string_view messages) {
    for (auto size = message_size(messages); size && *size <= messages.size();
         size = message_size(messages)) {
        if (auto state = error_field(messages.substr(0, *size), 'C')) return *state;
        messages.remove_prefix(*size);
    }
    return {};
}

bool wants_replication(const startup_message& wish) {
    const auto value = wish.find("replication");
    return value && *value != "false" && *value != "off" && *value != "no" && *value != "0";
}

}  // namespace

gateway_session::gateway_session(tcp::socket socket, std::shared_ptr<const gateway_context> around)
    : around_(std::move(around)),
      peer_(address_of(socket)),
      client_(std::move(socket)),
      backend_(std::make_unique<backend_link>(client_.get_executor())),
      watch_(around_->limits, std::chrono::steady_clock::now()) {}

void gateway_session::leave() {
    leaving_ = true;
    if (traffic_) {
        traffic_->retire();
    } else if (!admitted_) {
        cut();
    }
}

void gateway_session::cut() noexcept {
    boost::system::error_code ignored;
    client_.plain().set_option(asio::socket_base::linger(true, 0), ignored);
    client_.plain().close(ignored);
    backend_->close(ignored);
}

asio::awaitable<void> gateway_session::serve() {
    const auto self = shared_from_this();
    admitted_ = co_await with_deadline(admit(), after(startup_patience));
    if (admitted_) {
        prove();
        co_await converse();
    }
    co_await tls_shutdown(client_, secured_);
}

asio::awaitable<bool> gateway_session::admit() {
    opening first;
    std::string malformed;
    try {
        first = co_await receive_opening();
    } catch (const error& failure) {
        if (failure.code() != errc::protocol_violated) throw;
        malformed = failure.what();
    }
    if (!malformed.empty()) {
        co_await refuse("08P01", malformed, "");
        co_return false;
    }
    if (const auto* key = std::get_if<cancel_key>(&first)) {
        co_await pass_on_cancel(*key);
        co_return false;
    }
    wish_ = std::get<startup_message>(std::move(first));
    if (wish_.major != 3) {
        co_await refuse("0A000",
                        "unsupported frontend protocol " + std::to_string(wish_.major) + "." +
                            std::to_string(wish_.minor) + ": server supports 3.0 to 3.0",
                        "");
        co_return false;
    }
    if (!secured_) {
        co_await refuse("28000", "this server takes connections over TLS only",
                        "Connect with sslmode=require, or better sslmode=verify-full.");
        co_return false;
    }
    if (!refusal().empty()) {
        co_await refuse("53300", refusal(), "Close connections that are not used.");
        co_return false;
    }
    if (wants_replication(wish_)) {
        co_await refuse("0A000", "replication connections are not supported", "");
        co_return false;
    }
    if (wish_.minor > 0 || !wish_.protocol_options().empty()) {
        co_await send(wire_message::negotiate_protocol_version(wish_.protocol_options()));
    }
    co_return co_await log_in();
}

asio::awaitable<opening> gateway_session::receive_opening() {
    // A request each for GSSAPI and TLS may come before the message itself.
    for (int turn = 0; turn < 3; ++turn) {
        if (!secured_) {
            char first = 0;
            const auto room = asio::buffer(&first, 1);
            co_await client_.plain().async_receive(room, tcp::socket::message_peek, use_awaitable);
            if (first == 0x16) {  // a TLS handshake record; not a possible packet length
                co_await secure(true);
            }
        }
        std::string packet = co_await receive(4);
        const auto size = opening_size(packet);
        if (!size) throw error(errc::protocol_violated, "invalid length of startup packet");
        packet += co_await receive(*size - 4);
        opening parsed = parse_opening(packet);
        if (std::holds_alternative<gss_request>(parsed) && !secured_) {
            co_await send("N");
        } else if (std::holds_alternative<ssl_request>(parsed) && !secured_) {
            // What was sent along in the clear could come from a stranger: CVE-2021-23222.
            if (client_.plain().available() > 0) {
                throw error(errc::protocol_violated, "received unencrypted data after SSL request");
            }
            co_await send("S");
            co_await secure(false);
        } else if (parsed.index() >= 2) {
            co_return parsed;
        } else {
            break;
        }
    }
    throw error(errc::protocol_violated, "expected a startup message");
}

asio::awaitable<void> gateway_session::secure(bool direct) {
    co_await client_.accept_tls(*around_->tls);
    secured_ = true;
    if (direct) {
        const unsigned char* chosen = nullptr;
        unsigned size = 0;
        SSL_get0_alpn_selected(client_.session(), &chosen, &size);
        if (size == 0) {
            throw error(errc::protocol_violated,
                        "received direct SSL connection request without ALPN protocol "
                        "negotiation extension");
        }
    }
}

asio::awaitable<void> gateway_session::pass_on_cancel(cancel_key key) {
    // There is never an answer: the client waits for the connection to end, so it ends only when
    // PostgreSQL has taken the request.
    const auto where = co_await around_->registry->find(key);
    if (!where) co_return;
    co_await backend_->cancel(where->server, where->key);
}

asio::awaitable<void> gateway_session::converse() {
    const std::weak_ptr<server_connection> self = weak_from_this();
    const std::uint64_t number = co_await around_->registry->enter(self, database_.id);
    const registration entry(around_->registry, number);
    treated_ = co_await around_->registry->treatment_of(database_.id);
    if (treated_->full) {
        co_await refuse("53300", "sorry, too many clients already", "");
        co_return;
    }
    std::string failure;
    bool gone = false;
    try {
        lease awake = co_await with_deadline(around_->databases->hold(database_.id),
                                             after(around_->wake_timeout));
        co_await converse_with(std::move(awake), number);
    } catch (const error& thrown) {
        gone = thrown.code() == errc::not_found;
        failure = thrown.code() == errc::timeout ? "it did not wake in time" : words_of(thrown);
    }
    if (gone) {
        co_await refuse("3D000", "the database was deleted", "");
    } else if (!failure.empty() && !joined_) {
        co_await refuse("57P03", "the database is not available: " + failure, "Try again.");
    }
}

asio::awaitable<void> gateway_session::converse_with(lease awake, std::uint64_t number) {
    boost::system::error_code ignored;
    std::string failure;
    // Asked again, because waking may have taken a while.
    std::string role = co_await around_->quota->session_role(database_);
    try {
        joined_ = co_await connect_backend(awake, number, role);
    } catch (const boost::system::system_error& thrown) {
        failure = thrown.code().message();
    }
    if (!failure.empty()) throw error(errc::connection_lost, failure);
    std::shared_ptr<void> visit;
    if (joined_ && declined_.empty()) {
        visit_facts facts;
        facts.database_id = database_.id;
        facts.database = database_.name.full();
        facts.account = account_;
        facts.peer = peer_;
        visit = around_->events->admitted(std::move(facts));
    } else if (joined_) {
        around_->events->refused(declined_, database_.name.full(), peer_);
    }
    if (joined_) co_await hand_across();
    if (joined_ && backend_key_) co_await end_abandoned(*backend_, *backend_key_);
    // Closed before the lease ends, so that PostgreSQL is not put to sleep under a session.
    backend_->close(ignored);
}

asio::awaitable<void> gateway_session::hand_across() {
    const auto count_rows = [catalog = around_->catalog, id = database_.id](std::int64_t rows) {
        catalog->count_rows(id, rows);
    };
    const std::shared_ptr<const answer_delay> delay(treated_, &treated_->delay);
    traffic_.emplace(client_, *backend_, watch_, delay, count_rows);
    if (leaving_) traffic_->retire();
    const session_watch::ending why = co_await traffic_->run();
    traffic_.reset();
    const std::string last_words = words_for(why);
    if (last_words.empty()) co_return;
    co_await with_deadline(send(last_words), after(last_words_patience));
}

// Takes a session that waits for such a client, or begins one.
asio::awaitable<backend_greeting> gateway_session::begin_session(const session_target& where) {
    const time_point deadline =
        where.waits ? after(around_->wake_timeout) : after(startup_patience);
    const std::unique_ptr<spare_session> spare =
        co_await around_->reserve->take(database_.id, where, wish_);
    if (spare) {
        backend_ = std::move(spare->link);
        co_return std::move(spare->greeting);
    }
    backend_greeting greeting = co_await backend_->open(where, wish_, deadline);
    if (greeting.key || refusal_in(greeting.bytes) != "53300") co_return greeting;
    // A client comes before a session that waits for one.
    const bool room = co_await around_->reserve->make_room(database_.id);
    if (room) greeting = co_await backend_->open(where, wish_, deadline);
    co_return greeting;
}

asio::awaitable<bool> gateway_session::connect_backend(const lease& awake, std::uint64_t number,
                                                       std::string role) {
    const session_target where = co_await awake.session(role, account_id_);
    backend_greeting greeting = co_await begin_session(where);
    if (!greeting.key) {
        // What a key has changed may have kept it out.
        const bool mended = co_await awake.mend();
        if (mended) greeting = co_await begin_session(where);
    }
    backend_key_ = greeting.key;
    if (greeting.key) {
        session_registry::backend there;
        there.server = backend_->address();
        there.key = *greeting.key;
        const cancel_key key = co_await around_->registry->connected(number, std::move(there));
        const std::string ours = wire_message::backend_key_data(key);
        greeting.bytes.replace(greeting.key_at, ours.size(), ours);
        around_->reserve->began(database_.id, where, wish_);
    } else {
        declined_ = refusal_in(greeting.bytes);
    }
    // A session's life begins here: the time that waking took does not count.
    const time_point greeted = std::chrono::steady_clock::now();
    watch_ = session_watch(around_->limits, greeted);
    watch_.from_server(greeting.bytes, greeted);
    co_await with_deadline(send(std::move(greeting.bytes)), after(startup_patience));
    watch_.handed_on(std::chrono::steady_clock::now());
    co_return true;
}

// What the client is told of it: an id in place of words that are for the log alone.
std::string gateway_session::words_of(const error& thrown) const {
    const bool ours = thrown.code() == errc::system_failed || name_a_file(thrown.what());
    if (!thrown.sqlstate().empty() || !ours) return thrown.what();
    const std::string id = new_id();
    around_->events->failed("the Postgres endpoint", std::make_exception_ptr(thrown), id);
    return words_for_caller(id);
}

asio::awaitable<std::string> gateway_session::receive(std::size_t size) {
    std::string bytes(size, '\0');
    co_await client_.read(asio::buffer(bytes));
    co_return bytes;
}

asio::awaitable<void> gateway_session::send(std::string bytes) {
    co_await client_.write(asio::buffer(std::as_const(bytes)));
}

asio::awaitable<void> gateway_session::refuse(std::string_view sqlstate, std::string message,
                                              std::string_view hint) {
    around_->events->refused(sqlstate, database_.id.empty() ? "" : database_.name.full(), peer_);
    co_await send(wire_message::fatal(sqlstate, message, hint));
}

}  // namespace bitdotio
