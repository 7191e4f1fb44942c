// Tells OpenSSL at each handshake which certificate to show.
#include "server/tls/certificate_store.hpp"

#include <bitdotio/error.hpp>

#include "base/blocking.hpp"
#include "base/rfc3339.hpp"
#include "server/tls/tls_identity.hpp"

#include <exception>
#include <functional>
#include <utility>

namespace bitdotio {

certificate_store::certificate_store(asio::any_io_executor executor, certificate_source source,
                                     std::chrono::milliseconds interval,
                                     std::shared_ptr<event_log> events)
    : strand_(std::move(executor)),
      source_(std::move(source)),
      events_(std::move(events)),
      looks_(strand_, interval) {}

std::shared_ptr<const certificate_pair> certificate_store::current() const {
    const std::lock_guard held(mutex_);
    return shown_;
}

void certificate_store::load(time now) {
    std::filesystem::path certificate_file = source_.certificate_file;
    std::filesystem::path key_file = source_.key_file;
    std::string authority = source_.ca_file.string();
    const bool given = !certificate_file.empty();
    if (!given) {
        const tls_identity made = open_tls_identity(source_.directory, source_.listen, now);
        certificate_file = made.certificate_file;
        key_file = made.key_file;
        authority = made.ca_file.string();
    }
    const auto read =
        std::make_shared<certificate_pair>(read_certificate_pair(certificate_file, key_file, now));
    const auto before = current();
    if (before && X509_cmp(before->certificate.get(), read->certificate.get()) == 0 &&
        before->chain.size() == read->chain.size()) {
        return;
    }
    if (!before) {
        const bool trusts_itself = given && authority.empty() && read->is_self_signed();
        ca_file_ = trusts_itself ? certificate_file.string() : authority;
    }
    {
        const std::lock_guard held(mutex_);
        shown_ = read;
    }
    events_->certificate_expires(read->expires());
    server_event event("certificate_loaded");
    event.with("file", certificate_file.string())
        .with("expires",
              api::encode_time(std::chrono::floor<std::chrono::microseconds>(read->expires())));
    events_->tell(event);
}

int certificate_store::choose(SSL* session, void* keeper) {
    const auto shown = static_cast<const certificate_store*>(keeper)->current();
    if (!shown) return 0;
    STACK_OF(X509)* const chain = sk_X509_new_null();
    bool complete = chain != nullptr;
    for (const certificate_ptr& each : shown->chain) {
        complete = complete && sk_X509_push(chain, each.get()) > 0;
    }
    // OpenSSL takes its own references.
    const bool taken = complete && SSL_use_cert_and_key(session, shown->certificate.get(),
                                                        shown->key.get(), chain, 1) == 1;
    sk_X509_free(chain);
    return taken ? 1 : 0;
}

void certificate_store::serve(SSL_CTX* context) {
    SSL_CTX_set_cert_cb(context, choose, this);
}

std::string certificate_store::name_for(const std::string& address) const {
    const auto shown = current();
    if (shown->names(address)) return address;
    const std::string name = shown->first_name();
    return name.empty() ? address : name;
}

certificate_store::time certificate_store::expires() const {
    return current()->expires();
}

asio::awaitable<void> certificate_store::reload() {
    return on_strand(strand_, shared_from_this(), do_reload());
}

asio::awaitable<void> certificate_store::do_reload() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const auto mine = co_await loads_.enter();
    std::function<void()> work = [self = shared_from_this()] { self->load(); };
    co_await run_blocking(std::move(work));
}

void certificate_store::watch() {
    looks_.start(
        shared_from_this(), [this] { return look(); }, failure_report(events_, "the certificate"));
}

asio::awaitable<void> certificate_store::look() {
    std::string complaint;
    try {
        co_await do_reload();
    } catch (...) {
        // Perhaps half of a pair has been replaced, and the other half soon will be.
        complaint = loggable_failure(std::current_exception());
    }
    if (!complaint.empty() && complaint != complaint_) {
        server_event event("certificate_refused");
        events_->tell(event.with("reason", complaint));
    }
    complaint_ = complaint;
}

asio::awaitable<void> certificate_store::close() {
    return on_strand(strand_, shared_from_this(), looks_.stop());
}

}  // namespace bitdotio
