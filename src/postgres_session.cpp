// A session's life: opening, watching while idle, cleaning up, closing.
#include "postgres_session.hpp"

#include "failure.hpp"

#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>

#include <poll.h>
#include <sys/socket.h>
#include <clocale>
#include <cstdio>
#include <random>

namespace bitdotio {

namespace {

// libpq gives the failures of its own side (TLS verification among them) no code, only text, which
// is translated. In the C locale of this thread it is not.
class c_locale_scope {
public:
    c_locale_scope() noexcept : locale_(newlocale(LC_ALL_MASK, "C", nullptr)) {
        if (locale_) {
            before_ = uselocale(locale_);
        }
    }
    ~c_locale_scope() {
        if (locale_) {
            uselocale(before_);
            freelocale(locale_);
        }
    }
    c_locale_scope(const c_locale_scope&) = delete;
    c_locale_scope& operator=(const c_locale_scope&) = delete;

private:
    locale_t locale_;
    locale_t before_ = nullptr;
};

// Behind a pooler, sessions share the names of what is prepared on a server connection.
std::string own_prefix() {
    std::random_device chance;
    char text[32];
    std::snprintf(text, sizeof text, "bitdotio_%08x%08x_", chance(), chance());
    return text;
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

postgres_session::postgres_session(asio::any_io_executor executor, const connect_options& options)
    : strand_(asio::make_strand(executor)),
      socket_(strand_),
      statement_timeout_(options.statement_timeout),
      cancel_timeout_(options.cancel_timeout),
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
        const c_locale_scope untranslated;
        conn_.reset(PQconnectStartParams(keywords.data(), values.data(), 0));
    }
    if (!conn_ || PQstatus(conn_.get()) == CONNECTION_BAD) {
        throw dial_error();
    }
    // Without these, notices go to stderr, and the SQLSTATE of a failed connect to nowhere.
    PQsetNoticeReceiver(conn_.get(), &postgres_session::receive_notice, this);
    PQsetErrorVerbosity(conn_.get(), PQERRORS_VERBOSE);

    PostgresPollingStatusType poll = PGRES_POLLING_WRITING;
    while (poll != PGRES_POLLING_OK) {
        // libpq may have closed its socket and opened another under the same number, which the
        // reactor cannot see: register anew before every wait.
        detach();
        attach();
        const auto wait = poll == PGRES_POLLING_WRITING ? asio::posix::descriptor_base::wait_write
                                                        : asio::posix::descriptor_base::wait_read;
        boost::system::error_code failure;
        co_await socket_.async_wait(wait, asio::redirect_error(asio::use_awaitable, failure));
        if (failure) {
            throw error(errc::cancelled, "connecting was cancelled")
                .with(phase::connecting)
                .with(outcome::not_sent);
        }
        const c_locale_scope untranslated;
        poll = PQconnectPoll(conn_.get());
        if (poll == PGRES_POLLING_FAILED) {
            throw dial_error();
        }
    }
    detach();
    attach();
}

// libpq owns the descriptor and closes it: ours is only registered, and released before that.
void postgres_session::attach() {
    const int descriptor = PQsocket(conn_.get());
    if (descriptor < 0) {
        throw dial_error();
    }
    socket_.assign(descriptor);
}

void postgres_session::detach() noexcept {
    if (socket_.is_open()) {
        socket_.release();
    }
}

void postgres_session::finish() noexcept {
    ++watch_generation_;
    on_death_ = nullptr;
    status_ = session_status::closed;
    pid_ = 0;
    descriptor_ = -1;
    flow_ = flow::none;
    flow_abandoned_ = false;
    syncs_ = 0;
    detach();
    conn_.reset();
}

// A reset instead of a goodbye: nothing that waits in a buffer may still reach the server.
void postgres_session::abort() noexcept {
    const int descriptor = conn_ ? PQsocket(conn_.get()) : -1;
    if (descriptor >= 0) {
        const linger now{1, 0};
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        // PQfinish would write a goodbye first, and with it what is still queued.
        ::shutdown(descriptor, SHUT_RDWR);
    }
    finish();
}

error postgres_session::dial_error() const {
    const std::string text = libpq::last_words(conn_.get());
    server_message message;
    message.sqlstate = libpq::sqlstate_in(text);
    message.message = text;
    if (!message.sqlstate.empty()) {
        const std::size_t begin = text.find(message.sqlstate) + message.sqlstate.size();
        const std::size_t words = text.find_first_not_of(": ", begin);
        // "…LOCATION:  function, file:line" follows in verbose mode.
        const std::size_t end = text.find(" LOCATION: ", begin);
        if (words != std::string::npos) {
            message.message = text.substr(words, end == std::string::npos ? end : end - words);
        }
        return refused_dial(std::move(message));
    }
    errc code = errc::database_asleep;
    if (contains(text, "certificate") || contains(text, "does not support SSL") ||
        contains(text, "wrong version number")) {
        code = errc::tls_failed;
    } else if (!contains(text, "connection to server") && !contains(text, "server closed")) {
        code = errc::bad_input;
    }
    return error(code, "cannot connect: " + text).with(phase::connecting).with(outcome::not_sent);
}

void postgres_session::receive_notice(void* self, const PGresult* notice) {
    server_message message = libpq::message_of(notice);
    // A goodbye comes as a notice, because no statement waits for it: FATAL 57P01, 57P05, 25P03;
    // in an immediate stop or a crash of another backend even as a WARNING.
    const std::string& code = message.sqlstate;
    if (code == "57P01" || code == "57P02" || code == "57P05" || code == "25P03" ||
        message.severity == "FATAL") {
        static_cast<postgres_session*>(self)->goodbye_ = std::move(message);
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
    asio::post(strand_, [self = shared_from_this(), on_death = std::move(on_death)]() mutable {
        self->on_death_ = std::move(on_death);
        self->do_watch();
    });
}

void postgres_session::do_watch() {
    if (!conn_ || under_way_) {
        return;
    }
    auto event = [weak = weak_from_this(),
                  generation = ++watch_generation_](const boost::system::error_code& failure) {
        if (const auto self = weak.lock()) {
            self->watch_event(generation, failure);
        }
    };
    watching_ = true;
    socket_.async_wait(asio::posix::descriptor_base::wait_read, std::move(event));
}

void postgres_session::watch_event(std::uint64_t generation,
                                   const boost::system::error_code& failure) {
    if (failure || generation != watch_generation_) {
        return;
    }
    watching_ = false;
    if (alive()) {
        do_watch();
        return;
    }
    const std::function<void()> on_death = std::move(on_death_);
    on_death_ = nullptr;
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
    pollfd look{PQsocket(conn_.get()), POLLIN | POLLRDHUP, 0};
    if (::poll(&look, 1, 0) == 0) {
        return PQstatus(conn_.get()) == CONNECTION_OK;
    }
    for (int time = 0; time < 2; ++time) {
        if (!PQconsumeInput(conn_.get())) {
            return false;
        }
        while (PGnotify* notification = PQnotifies(conn_.get())) {
            PQfreemem(notification);
        }
    }
    return PQstatus(conn_.get()) == CONNECTION_OK && goodbye_.sqlstate.empty();
}

void postgres_session::roll_back_first() {
    asio::dispatch(strand_, [self = shared_from_this()] { self->roll_back_first_ = true; });
}

void postgres_session::close() {
    asio::dispatch(strand_, [self = shared_from_this()] {
        if (self->under_way_) {
            self->close_when_done_ = true;
        } else {
            self->finish();
        }
    });
}

asio::awaitable<void> postgres_session::clean(std::chrono::milliseconds timeout) {
    return on_strand(strand_, shared_from_this(), do_clean(timeout));
}

asio::awaitable<void> postgres_session::do_clean(std::chrono::milliseconds timeout) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    if (status() == session_status::idle && !under_way_ && !owes_something()) {
        co_return;
    }
    if (conn_ && !under_way_) {
        try {
            const turn mine(*this);
            co_await with_deadline(do_clean_up(), deadline_after(timeout));
        } catch (const error&) {
            abort();
        }
    }
    if (status() != session_status::idle) {
        abort();
    }
}

asio::awaitable<void> postgres_session::do_clean_up() {
    flow_abandoned_ = true;
    roll_back_first_ = true;
    co_await settle_debts();
}

}  // namespace bitdotio
