// Errors: what they hold and how they are worded.
#include <bitdotio/error.hpp>

#include <utility>

namespace bitdotio {

namespace {

class category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "bitdotio"; }
    std::string message(int value) const override {
        return std::string(to_string(static_cast<errc>(value)));
    }
};

}  // namespace

const boost::system::error_category& error_category() noexcept {
    static const category instance;
    return instance;
}

boost::system::error_code make_error_code(errc code) noexcept {
    return {static_cast<int>(code), error_category()};
}

std::string_view to_string(errc code) noexcept {
    switch (code) {
        case errc::bad_input: return "bad input";
        case errc::authentication_failed: return "authentication failed";
        case errc::permission_denied: return "permission denied";
        case errc::not_found: return "not found";
        case errc::conflict: return "conflict";
        case errc::query_failed: return "query failed";
        case errc::transaction_conflict: return "transaction conflict";
        case errc::connect_failed: return "connect failed";
        case errc::tls_failed: return "TLS failed";
        case errc::connection_lost: return "connection lost";
        case errc::commit_outcome_unknown: return "commit outcome unknown";
        case errc::replication_unconfirmed: return "replication unconfirmed";
        case errc::database_asleep: return "database asleep";
        case errc::server_busy: return "server busy";
        case errc::acquire_timeout: return "acquire timeout";
        case errc::queue_full: return "queue full";
        case errc::pool_closed: return "pool closed";
        case errc::timeout: return "timeout";
        case errc::cancelled: return "cancelled";
        case errc::wrong_type: return "wrong type";
        case errc::unexpected_null: return "unexpected NULL";
        case errc::no_such_column: return "no such column";
        case errc::unexpected_shape: return "unexpected shape";
        case errc::result_too_large: return "result too large";
        case errc::api_failed: return "API failed";
        case errc::rate_limited: return "rate limited";
        case errc::system_failed: return "system failed";
        case errc::protocol_violated: return "protocol violated";
        case errc::forked: return "forked";
    }
    return "unknown error";
}

std::string_view to_string(phase value) noexcept {
    switch (value) {
        case phase::none: return "none";
        case phase::resolving: return "resolving";
        case phase::connecting: return "connecting";
        case phase::acquiring: return "acquiring";
        case phase::sending: return "sending";
        case phase::awaiting_reply: return "awaiting reply";
        case phase::replied: return "replied";
        case phase::committing: return "committing";
    }
    return "unknown";
}

std::string_view to_string(outcome value) noexcept {
    switch (value) {
        case outcome::none: return "none";
        case outcome::not_sent: return "not sent";
        case outcome::not_executed: return "not executed";
        case outcome::executed: return "executed";
        case outcome::unknown: return "unknown";
    }
    return "unknown";
}

struct error::contents {
    errc code;
    std::string message;
    server_message server{};
    int http_status = 0;
    std::string http_body{};
    bitdotio::phase phase = bitdotio::phase::none;
    bitdotio::outcome outcome = bitdotio::outcome::none;
    std::string transaction_id{};
    int attempts = 1;
    bool woke_database = false;
};

error::error(errc code, std::string message) : error(contents{code, std::move(message)}) {}

error::error(contents&& value) : contents_(std::make_shared<const contents>(std::move(value))) {}

error::contents error::copy() const {
    return *contents_;
}

const char* error::what() const noexcept {
    return contents_->message.c_str();
}
errc error::code() const noexcept {
    return contents_->code;
}
const std::string& error::sqlstate() const noexcept {
    return contents_->server.sqlstate;
}
const server_message& error::server() const noexcept {
    return contents_->server;
}
int error::http_status() const noexcept {
    return contents_->http_status;
}
const std::string& error::http_body() const noexcept {
    return contents_->http_body;
}
phase error::phase() const noexcept {
    return contents_->phase;
}
outcome error::outcome() const noexcept {
    return contents_->outcome;
}
const std::string& error::transaction_id() const noexcept {
    return contents_->transaction_id;
}
int error::attempts() const noexcept {
    return contents_->attempts;
}
bool error::woke_database() const noexcept {
    return contents_->woke_database;
}

error error::with(server_message value) const {
    contents said = copy();
    said.server = std::move(value);
    return error(std::move(said));
}
error error::with(bitdotio::phase value) const {
    contents said = copy();
    said.phase = value;
    return error(std::move(said));
}
error error::with(bitdotio::outcome value) const {
    contents said = copy();
    said.outcome = value;
    return error(std::move(said));
}
error error::with_code(errc code) const {
    contents said = copy();
    said.code = code;
    return error(std::move(said));
}
error error::with_message(std::string message) const {
    contents said = copy();
    said.message = std::move(message);
    return error(std::move(said));
}
error error::with_http(int status, std::string body) const {
    contents said = copy();
    said.http_status = status;
    said.http_body = std::move(body);
    return error(std::move(said));
}
error error::with_transaction_id(std::string id) const {
    contents said = copy();
    said.transaction_id = std::move(id);
    return error(std::move(said));
}
error error::with_attempts(int attempts) const {
    contents said = copy();
    said.attempts = attempts;
    return error(std::move(said));
}
error error::with_woke_database(bool woke) const {
    contents said = copy();
    said.woke_database = woke;
    return error(std::move(said));
}

}  // namespace bitdotio
