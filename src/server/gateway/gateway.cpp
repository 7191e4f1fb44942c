// Sets up the endpoint's TLS and its server, and cuts sessions on demand.
#include "server/gateway/gateway.hpp"

#include <openssl/ssl.h>

#include <utility>

namespace bitdotio {

namespace {

// The most PostgreSQL writes. libpq always has room for it: it may take only part of a larger
// record, and the rest stays in OpenSSL, where a client that waits for its socket never looks.
constexpr long largest_record = 8 * 1024;

int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned offered_size, void*) {
    static constexpr unsigned char ours[] = "\x0apostgresql";
    unsigned char* match = nullptr;
    const int found =
        SSL_select_next_proto(&match, chosen_size, ours, sizeof ours - 1, offered, offered_size);
    *chosen = match;
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

asio::awaitable<void> cut(std::shared_ptr<server_connection> session) {
    session->cut();
    co_return;
}

}  // namespace

gateway::gateway(asio::any_io_executor executor, asio::ssl::context& tls,
                 std::shared_ptr<catalog> known, std::shared_ptr<database_host> instances,
                 std::shared_ptr<storage_quota> quota)
    : registry_(std::make_shared<session_registry>(executor)) {
    SSL_CTX_set_alpn_select_cb(tls.native_handle(), choose_protocol, nullptr);
    // As in PostgreSQL: libpq never resumes, and tickets would be bytes on idle connections.
    SSL_CTX_set_num_tickets(tls.native_handle(), 0);
    SSL_CTX_set_session_cache_mode(tls.native_handle(), SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_send_fragment(tls.native_handle(), largest_record);

    const auto around = std::make_shared<gateway_context>();
    around->tls = &tls;
    around->catalog = std::move(known);
    around->databases = std::move(instances);
    around->quota = std::move(quota);
    around->registry = registry_;
    around->reserve = std::make_shared<session_reserve>(executor);
    around_ = around;
    server_ = std::make_shared<tcp_server>(executor, [around](asio::ip::tcp::socket socket) {
        return std::make_shared<gateway_session>(std::move(socket), around);
    });
}

asio::awaitable<void> gateway::hang_up(std::string id) {
    const auto sessions = co_await registry_->sessions_of(std::move(id));
    for (const auto& session : sessions) {
        co_await on_strand(session->executor(), session, cut(session));
    }
}

asio::awaitable<void> gateway::delay(std::string id, std::chrono::milliseconds time) {
    const auto treated = co_await registry_->treatment_of(std::move(id));
    treated->delay = std::max(capped(time), std::chrono::milliseconds(0)).count();
}

asio::awaitable<void> gateway::fill(std::string id, bool full) {
    const auto treated = co_await registry_->treatment_of(std::move(id));
    treated->full = full;
}

}  // namespace bitdotio
