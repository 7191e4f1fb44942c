// A session's life: opening, watching while idle, cleaning up, closing.
#include "postgres/postgres_session.hpp"

#include "postgres/failure.hpp"
#include "postgres/libpq_poll.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <algorithm>
#include <cstdio>
#include <random>

namespace bitdotio {

namespace {

// Behind a pooler, sessions share the names of what is prepared on a server connection.
std::string own_prefix() {
    std::random_device chance;
    char text[32];
    std::snprintf(text, sizeof text, "bitdotio_%08x%08x_", chance(), chance());
    return text;
}

// A setting that is on or off; nothing if the server does not report it.
std::optional<bool> is_on(const char* value) {
    return value ? std::optional(std::string_view(value) == "on") : std::nullopt;
}

}  // namespace

postgres_session::postgres_session(asio::any_io_executor executor, const connect_options& options,
                                   std::shared_ptr<cancel_queue> cancels)
    : strand_(asio::make_strand(executor)),
      socket_(strand_),
      statement_timeout_(options.statement_timeout),
      cancel_timeout_(options.cancel_timeout),
      on_notice_(options.on_notice),
      cancels_(std::move(cancels)),
      statements_(options.statement_cache_size, options.statement_cache_max_length, own_prefix()) {}

postgres_session::~postgres_session() {
    finish();
}

asio::awaitable<void> postgres_session::open(libpq_parameters parameters, time_point deadline) {
    return on_strand(strand_, shared_from_this(), do_open(std::move(parameters), deadline));
}

asio::awaitable<void> postgres_session::do_open(libpq_parameters parameters, time_point deadline) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    try {
        co_await with_deadline(poll_until_open(std::move(parameters)), deadline);
    } catch (const error& failure) {
        abort();
        if (failure.code() == errc::timeout) {
            throw error(errc::timeout, "cannot connect: the server did not answer in time")
                .with(phase::connecting)
                .with(outcome::not_sent);
        }
        throw;
    }
    PQsetnonblocking(conn_.get(), 1);
    PQsetErrorVerbosity(conn_.get(), PQERRORS_DEFAULT);
    pid_ = PQbackendPID(conn_.get());
    descriptor_ = PQsocket(conn_.get());
    role_.standby = is_on(reported("in_hot_standby"));
    role_.read_only = is_on(reported("default_transaction_read_only"));
    reset_.begin([this](const char* setting) { return reported(setting); });
    take_status();
}

asio::awaitable<void> postgres_session::poll_until_open(libpq_parameters parameters) {
    co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
    co_await asio::this_coro::throw_if_cancelled(false);
    std::vector<const char*> keywords;
    std::vector<const char*> values;
    for (const auto& [keyword, value] : parameters) {
        keywords.push_back(keyword.c_str());
        values.push_back(value.c_str());
    }
    keywords.push_back(nullptr);
    values.push_back(nullptr);
    {
        const libpq::untranslated english;
        conn_.reset(PQconnectStartParams(keywords.data(), values.data(), 0));
    }
    if (!conn_ || PQstatus(conn_.get()) == CONNECTION_BAD) {
        throw dial_error();
    }
    // Without these, notices go to stderr, and the SQLSTATE of a failed connect to nowhere.
    PQsetNoticeReceiver(conn_.get(), &postgres_session::receive_notice, this);
    PQsetErrorVerbosity(conn_.get(), PQERRORS_VERBOSE);

    bool opened = false;
    try {
        opened = co_await poll_to_end(conn_, socket_);
    } catch (const error& cancelled) {
        throw cancelled.with_message("connecting was cancelled")
            .with(phase::connecting)
            .with(outcome::not_sent);
    }
    if (!opened) {
        throw dial_error();
    }
    attach();
}

// libpq owns the descriptor and closes it: ours is only registered, and released before that.
void postgres_session::attach() {
    if (!socket_.attach(conn_.get())) {
        throw dial_error();
    }
}

void postgres_session::finish() noexcept {
    watch_.end();
    status_ = session_status::closed;
    pid_ = 0;
    descriptor_ = -1;
    stream_.reset();
    syncs_ = 0;
    reset_.end();
    socket_.detach();
    conn_.reset();
}

// A reset instead of a goodbye: nothing that waits in a buffer may still reach the server.
void postgres_session::abort() noexcept {
    shut_down();
    finish();
}

void postgres_session::shut_down() noexcept {
    const int descriptor = conn_ ? PQsocket(conn_.get()) : -1;
    if (descriptor >= 0) {
        const linger now{1, 0};
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        // PQfinish would write a goodbye first, and with it what is still queued.
        ::shutdown(descriptor, SHUT_RDWR);
    }
}

error postgres_session::dial_error() const {
    const std::string text = libpq::last_words(conn_.get());
    server_message message = libpq::refusal_in(text);
    if (!message.sqlstate.empty()) {
        return refused_dial(std::move(message));
    }
    return failed_dial(text);
}

void postgres_session::receive_notice(void* self, const PGresult* notice) {
    auto& mine = *static_cast<postgres_session*>(self);
    const server_message message = libpq::message_of(notice);
    if (mine.report_.hear(message) && mine.on_notice_) {
        try {
            mine.on_notice_(message);
        } catch (...) {  // libpq, which calls this, is C and cannot pass it on
        }
    }
}

void postgres_session::take_status() {
    if (PQstatus(conn_.get()) == CONNECTION_BAD) {
        finish();
        return;
    }
    switch (PQtransactionStatus(conn_.get())) {
        case PQTRANS_IDLE: status_ = session_status::idle; break;
        case PQTRANS_INTRANS:
        case PQTRANS_INERROR: status_ = session_status::in_transaction; break;
        case PQTRANS_ACTIVE: status_ = session_status::busy; break;
        case PQTRANS_UNKNOWN: finish(); break;
    }
}

bool postgres_session::looks_alive() const noexcept {
    const int descriptor = descriptor_;
    if (descriptor < 0) {
        return false;
    }
    pollfd look{descriptor, POLLRDHUP, 0};
    return ::poll(&look, 1, 0) == 0;
}

void postgres_session::watch(std::function<void()> on_death) {
    auto begin = [self = shared_from_this(), on_death = std::move(on_death)]() mutable {
        self->watch_.tell(std::move(on_death));
        self->do_watch();
    };
    post_work(strand_, guarded(std::move(begin), on_failure()));
}

bool postgres_session::watch_notifications(std::function<void()> on_event) {
    keep_notifications();
    if (!conn_) {
        return false;
    }
    // What came with the last answer is announced by no event.
    take_notifications();
    if (!notified_->empty()) {
        return false;
    }
    watch_.tell(std::move(on_event));
    do_watch();
    return true;
}

std::vector<notification> postgres_session::notifications() {
    keep_notifications();
    if (conn_) {
        take_notifications();
    }
    return std::exchange(*notified_, {});
}

void postgres_session::take_notifications() {
    while (PGnotify* const one = PQnotifies(conn_.get())) {
        const std::unique_ptr<PGnotify, decltype(&PQfreemem)> freed(one, &PQfreemem);
        if (notified_) {
            notified_->emplace_back(one->relname, one->extra, one->be_pid);
        }
    }
}

void postgres_session::do_watch() {
    if (!conn_ || under_way_) {
        return;
    }
    auto event = [weak = weak_from_this(),
                  generation = watch_.begin()](const boost::system::error_code& failure) {
        if (const auto self = weak.lock()) {
            self->watch_event(generation, failure);
        }
    };
    socket_.when_readable(guarded(std::move(event), on_failure()));
}

void postgres_session::end_watch() {
    if (watch_.end()) {
        socket_.cancel();
    }
}

void postgres_session::watch_event(std::uint64_t generation,
                                   const boost::system::error_code& failure) {
    if (failure || !watch_.has_come(generation)) {
        return;
    }
    if (alive() && (!notified_ || notified_->empty())) {
        do_watch();
        return;
    }
    const std::function<void()> on_death = watch_.take_whom();
    // Closing is left to the owner: it may be looking at the descriptor right now.
    if (on_death) {
        on_death();
    }
}

// Takes in what arrived while nothing was asked, and tells a NOTIFY from a goodbye: after the
// server ended the session the first read may still succeed, the second does not.
bool postgres_session::alive() {
    if (!conn_) {
        return false;
    }
    if (!socket_.is_readable()) {
        return PQstatus(conn_.get()) == CONNECTION_OK;
    }
    for (int time = 0; time < 2; ++time) {
        const bool well = libpq::take_in(conn_.get());
        take_notifications();
        if (!well) {
            return false;
        }
    }
    return PQstatus(conn_.get()) == CONNECTION_OK && goodbye().sqlstate.empty();
}

asio::awaitable<bool> postgres_session::probe(std::chrono::milliseconds timeout) {
    const auto self = shared_from_this();
    if (!birth_.is_here()) {
        co_return false;
    }
    try {
        co_return co_await on_strand(strand_, self, do_probe(timeout));
    } catch (const std::exception&) {  // the caller was cancelled before it began
    }
    auto give_up = [self]() noexcept {
        if (!self->under_way_) {
            self->abort();
        }
    };
    dispatch_work(strand_, give_up);
    co_return false;
}

asio::awaitable<bool> postgres_session::do_probe(std::chrono::milliseconds timeout) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    if (under_way_) {
        co_return false;
    }
    std::function<void()> watcher = watch_.whom();
    co_await probe_or_abort(std::max(timeout, std::chrono::milliseconds(1)));
    if (!conn_) {
        co_return false;
    }
    if (watcher) {
        watch_.tell(std::move(watcher));
        do_watch();
    }
    co_return true;
}

asio::awaitable<void> postgres_session::probe_or_abort(std::chrono::milliseconds timeout) {
    const turn mine(*this);
    end_watch();
    if (status() != session_status::idle || !alive()) {
        abort();
        co_return;
    }
    PQenterPipelineMode(conn_.get());
    bool answered = false;
    if (libpq::send_sync(conn_.get())) {
        ++syncs_;
        try {
            co_await with_deadline(settle(), deadline_after(timeout));
            answered = syncs_ == 0;
        } catch (const error&) {  // it took too long
        }
    }
    if (!answered || !PQexitPipelineMode(conn_.get()) ||
        PQtransactionStatus(conn_.get()) != PQTRANS_IDLE) {
        abort();
    }
}

void postgres_session::roll_back_first() {
    if (!birth_.is_here()) {
        return;
    }
    dispatch_work(strand_,
                  [self = shared_from_this()]() noexcept { self->roll_back_first_ = true; });
}

void postgres_session::close() {
    if (!birth_.is_here()) {
        return;
    }
    status_ = session_status::closed;  // at once, so that a pool it goes back to does not lend it
    dispatch_work(strand_, [self = shared_from_this()]() noexcept {
        if (self->under_way_) {
            self->close_when_done_ = true;
        } else {
            self->finish();
        }
    });
}

void postgres_session::cut(std::string why) {
    status_ = session_status::closed;
    dispatch_work(strand_, [self = shared_from_this(), why = std::move(why)]() mutable noexcept {
        self->cut_because_ = std::move(why);
        self->cut_now();
    });
}

void postgres_session::cut_now() noexcept {
    if (under_way_) {
        close_when_done_ = true;
        shut_down();  // which the operation reads as the end of the connection
    } else {
        abort();
    }
}

asio::awaitable<void> postgres_session::clean(std::chrono::milliseconds timeout) {
    return on_strand(strand_, shared_from_this(), do_clean(timeout));
}

asio::awaitable<void> postgres_session::do_clean(std::chrono::milliseconds timeout) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    if (status() == session_status::idle && !under_way_ && !owes_something()) {
        co_return;
    }
    if (conn_ && under_way_) {
        cut("its pooled_connection was given back while an operation on it was under way");
        co_return;
    }
    if (conn_) {
        try {
            const turn mine(*this);
            give_up_at_ = deadline_after(timeout);
            co_await with_deadline(do_clean_up(), give_up_at_);
        } catch (const error&) {
            abort();
        }
        give_up_at_ = no_deadline;
    }
    if (status() != session_status::idle) {
        abort();
    }
}

asio::awaitable<void> postgres_session::do_clean_up() {
    stream_.abandon();
    roll_back_first_ = true;
    co_await settle_debts();
}

}  // namespace bitdotio
