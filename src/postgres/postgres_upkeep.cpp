// A session between its operations: signs of life, notices, cleaning up, its end.
#include "postgres/postgres_exchange.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace bitdotio {

void postgres_exchange::take_status() {
    if (wire_.is_broken()) {
        finish();
        return;
    }
    switch (PQtransactionStatus(wire_.conn())) {
        case PQTRANS_IDLE:
            status_ = begin_.is_due() ? session_status::in_transaction : session_status::idle;
            break;
        case PQTRANS_INTRANS:
        case PQTRANS_INERROR: status_ = session_status::in_transaction; break;
        case PQTRANS_ACTIVE: status_ = session_status::busy; break;
        case PQTRANS_UNKNOWN: finish(); break;
    }
}

void postgres_exchange::finish() noexcept {
    watch_.end();
    status_ = session_status::closed;
    stream_.reset();
    reset_.end();
    begin_.end();
    wire_.close();
}

// A reset instead of a goodbye: nothing that waits in a buffer may still reach the server.
void postgres_exchange::abort() noexcept {
    wire_.shut_down();
    finish();
}

void postgres_exchange::close() noexcept {
    if (under_way_) {
        close_when_done_ = true;
    } else {
        finish();
    }
}

void postgres_exchange::cut(std::string why) noexcept {
    cut_because_ = std::move(why);
    if (under_way_) {
        close_when_done_ = true;
        wire_.shut_down();  // which the operation reads as the end of the connection
    } else {
        abort();
    }
}

void postgres_exchange::end_watch() {
    if (watch_.end()) {
        wire_.stop_waiting();
    }
}

// Takes in what arrived while nothing was asked, and tells a NOTIFY from a goodbye: after the
// server ended the session the first read may still succeed, the second does not.
bool postgres_exchange::is_alive() {
    if (!wire_.is_open()) {
        return false;
    }
    if (!wire_.is_readable()) {
        return !wire_.is_broken();
    }
    for (int time = 0; time < 2; ++time) {
        const bool well = libpq::take_in(wire_.conn());
        take_notifications();
        if (!well) {
            return false;
        }
    }
    return !wire_.is_broken() && goodbye().sqlstate.empty();
}

void postgres_exchange::take_notifications() {
    while (PGnotify* const one = PQnotifies(wire_.conn())) {
        const std::unique_ptr<PGnotify, decltype(&PQfreemem)> freed(one, &PQfreemem);
        if (notified_) {
            notified_->emplace_back(one->relname, one->extra, one->be_pid);
        }
    }
}

std::vector<notification>& postgres_exchange::notifications() {
    if (!notified_) {
        notified_.emplace();
    }
    // What came with the last answer is announced by no event.
    if (wire_.is_open()) {
        take_notifications();
    }
    return *notified_;
}

void postgres_exchange::receive_notice(void* self, const PGresult* notice) {
    auto& mine = *static_cast<postgres_exchange*>(self);
    const server_message message = libpq::message_of(notice);
    if (mine.report_.hear(message) && mine.on_notice_) {
        try {
            mine.on_notice_(message);
        } catch (...) {  // libpq, which calls this, is C and cannot pass it on
        }
    }
}

asio::awaitable<void> postgres_exchange::probe(std::chrono::milliseconds timeout) {
    const turn mine(*this);
    end_watch();
    if (status() != session_status::idle || !is_alive()) {
        abort();
        co_return;
    }
    wire_.enter_pipeline();
    bool answered = false;
    if (wire_.send_sync()) {
        try {
            co_await with_deadline(settle(), deadline_after(timeout));
            answered = wire_.syncs() == 0;
        } catch (const error&) {  // it took too long
        }
    }
    if (!answered || !wire_.leave_pipeline() || PQtransactionStatus(wire_.conn()) != PQTRANS_IDLE) {
        abort();
    }
}

asio::awaitable<void> postgres_exchange::clean(std::chrono::milliseconds timeout) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    if (status() == session_status::idle && !under_way_ && !owes_something()) {
        co_return;
    }
    if (wire_.is_open() && under_way_) {
        refuse_more();
        cut("its pooled_connection was given back while an operation on it was under way");
        co_return;
    }
    if (wire_.is_open()) {
        try {
            const turn mine(*this);
            give_up_at_ = deadline_after(timeout);
            stream_.abandon();
            roll_back_first_ = true;
            co_await with_deadline(settle_debts(), give_up_at_);
        } catch (const error&) {
            abort();
        }
        give_up_at_ = no_deadline;
    }
    if (status() != session_status::idle) {
        abort();
    }
}

}  // namespace bitdotio
