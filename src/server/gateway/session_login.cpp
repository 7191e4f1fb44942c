// How a client of the Postgres endpoint shows its key: by SCRAM, or in clear text within TLS.
#include <bitdotio/error.hpp>

#include "server/gateway/channel_binding.hpp"
#include "server/gateway/gateway_session.hpp"
#include "server/hosts/scram_client.hpp"
#include "server/hosts/scram_server.hpp"

#include <openssl/crypto.h>

#include <utility>

namespace bitdotio {

namespace {

// Of a password, and of a message of SCRAM.
constexpr std::size_t max_answer_size = 4096;
constexpr std::size_t server_nonce_size = 18;

}  // namespace

asio::awaitable<bool> gateway_session::log_in() {
    const std::string user(wish_.find("user").value_or(""));
    const std::string wanted(wish_.find("database").value_or(user));

    bool known = false;
    std::string failure;
    std::string sqlstate;
    try {
        std::optional<scram_secret> terms = co_await around_->catalog->scram_terms();
        caller who;
        if (terms) {
            who = co_await admit_by_scram(std::move(*terms));
        } else {
            who = co_await admit_with_password();
        }
        known = true;
        account_ = who.name;
        account_id_ = who.account;
        const database_name name(meant_database(wanted));
        database_ = co_await around_->catalog->find(who, name);
        co_await around_->quota->session_role(database_);  // refuses a closed database at once
        co_return true;
    } catch (const scram_violation& violation) {
        failure = violation.what();
        sqlstate = violation.state();
    } catch (const error& thrown) {
        if (thrown.code() != errc::bad_input && thrown.code() != errc::not_found &&
            thrown.code() != errc::authentication_failed && thrown.code() != errc::rate_limited) {
            failure = words_of(thrown);
            sqlstate = thrown.sqlstate().empty() ? "XX000" : thrown.sqlstate();
        }
    }
    if (!failure.empty()) {
        co_await refuse(sqlstate, failure, "");
    } else if (!known) {
        co_await refuse("28P01", "password authentication failed for user \"" + user + "\"",
                        "The password is an API key, beginning with v2_.");
    } else {
        co_await refuse("3D000", "database \"" + wanted + "\" does not exist",
                        "Give the full name, user/db, of one of this key's databases.");
    }
    co_return false;
}

asio::awaitable<caller> gateway_session::admit_with_password() {
    co_await send(wire_message::cleartext_password_request());
    std::string body = co_await receive_answer("expected password response");
    std::string password = parse_password(body).value_or("");
    OPENSSL_cleanse(body.data(), body.size());
    std::optional<api_key> key;
    try {
        key.emplace(password);
    } catch (const error&) {
        OPENSSL_cleanse(password.data(), password.size());
        throw;
    }
    OPENSSL_cleanse(password.data(), password.size());
    co_return co_await around_->catalog->admit(std::move(*key), peer_);
}

asio::awaitable<caller> gateway_session::admit_by_scram(scram_secret terms) {
    const auto exchange = std::make_shared<scram_server>(std::move(terms.salt), terms.iterations,
                                                         base64(random_octets(server_nonce_size)),
                                                         certificate_hash(client_.session()));
    co_await send(wire_message::sasl_request(exchange->mechanisms()));
    const std::string first = co_await receive_answer("expected SASL response");
    const auto opened = parse_sasl_initial_response(first);
    if (!opened) throw scram_violation("08P01", "invalid SASL initial response");
    std::string challenge = exchange->challenge(opened->mechanism, opened->text);
    co_await send(wire_message::sasl_continue(challenge));
    const std::string last = co_await receive_answer("expected SASL response");
    exchange->receive(last);
    proven_caller proven = co_await around_->catalog->admit_proof(exchange, peer_);
    co_await send(wire_message::sasl_final(proven.signature));
    co_return std::move(proven.who);
}

// The body of the client's answer to a request for authentication.
asio::awaitable<std::string> gateway_session::receive_answer(std::string expected) {
    const std::string head = co_await receive(5);
    const std::size_t size = *message_size(head);
    if (head[0] != 'p' || size > max_answer_size) throw scram_violation("08P01", expected);
    co_return co_await receive(size - head.size());
}

}  // namespace bitdotio
