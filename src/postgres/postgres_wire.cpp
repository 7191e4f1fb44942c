// Bytes and statements over a connection of libpq.
#include "postgres/postgres_wire.hpp"

#include <bitdotio/named.hpp>

#include "postgres/failure.hpp"
#include "postgres/libpq_poll.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cstdio>
#include <random>
#include <utility>
#include <vector>

namespace bitdotio {

namespace {

// Behind a pooler, sessions share the names of what is prepared on a server connection.
std::string own_prefix() {
    std::random_device chance;
    char text[32];
    std::snprintf(text, sizeof text, "bitdotio_%08x%08x_", chance(), chance());
    return text;
}

}  // namespace

postgres_wire::postgres_wire(const asio::any_io_executor& strand, const connect_options& options)
    : socket_(strand),
      statements_(options.statement_cache_size, options.statement_cache_max_length, own_prefix()) {}

asio::awaitable<void> postgres_wire::open(libpq_parameters parameters, PQnoticeReceiver hear,
                                          void* hearer) {
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
    if (!conn_ || is_broken()) {
        throw dial_error();
    }
    // Without these, notices go to stderr, and the SQLSTATE of a failed connect to nowhere.
    PQsetNoticeReceiver(conn_.get(), hear, hearer);
    PQsetErrorVerbosity(conn_.get(), PQERRORS_VERBOSE);

    bool opened = false;
    try {
        opened = co_await poll_to_end(conn_, socket_);
    } catch (const error& cancelled) {
        throw cancelled.with_message("connecting was cancelled")
            .with(phase::connecting)
            .with(outcome::not_sent);
    }
    // libpq owns the descriptor and closes it: ours is only registered, and released before that.
    if (!opened || !socket_.attach(conn_.get())) {
        throw dial_error();
    }
    PQsetnonblocking(conn_.get(), 1);
    PQsetErrorVerbosity(conn_.get(), PQERRORS_DEFAULT);
    encoding_ = PQclientEncoding(conn_.get());
    pid_ = PQbackendPID(conn_.get());
    descriptor_ = PQsocket(conn_.get());
}

void postgres_wire::close() noexcept {
    pid_ = 0;
    descriptor_ = -1;
    syncs_ = 0;
    socket_.detach();
    conn_.reset();
}

void postgres_wire::shut_down() noexcept {
    const int descriptor = conn_ ? PQsocket(conn_.get()) : -1;
    if (descriptor >= 0) {
        const linger now{1, 0};
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        // PQfinish would write a goodbye first, and with it what is still queued.
        ::shutdown(descriptor, SHUT_RDWR);
    }
}

error postgres_wire::dial_error() const {
    const std::string text = libpq::last_words(conn_.get());
    server_message message = libpq::refusal_in(text);
    if (!message.sqlstate.empty()) {
        return refused_dial(std::move(message));
    }
    return failed_dial(text);
}

bool postgres_wire::looks_alive() noexcept {
    if (descriptor_ < 0) {
        return false;
    }
    if (was_heard_just_now()) {
        return true;
    }
    pollfd look{descriptor_, POLLIN | POLLRDHUP, 0};
    if (::poll(&look, 1, 0) == 0) {
        note_heard();
        return true;
    }
    return look.revents == POLLIN;  // which may be a goodbye: whoever sends the next one reads it
}

asio::awaitable<void> postgres_wire::flush() {
    while (PQflush(conn_.get()) == 1) {
        co_await socket_.readable_or_writable();
        take_in();
    }
}

void postgres_wire::take_in() {
    if (!libpq::take_in(conn_.get()) && !is_broken()) {
        shut_down();
        close();
    }
}

asio::awaitable<void> postgres_wire::skip_copy() {
    while (true) {
        char* row = nullptr;
        const int size = PQgetCopyData(conn_.get(), &row, 1);
        if (size < 0) {
            co_return;
        }
        if (size > 0) {
            PQfreemem(row);
        } else {
            co_await socket_.readable();
            take_in();
        }
    }
}

bool postgres_wire::send_sync() {
    const bool sent = libpq::send_sync(conn_.get());
    syncs_ += sent;
    return sent;
}

void postgres_wire::check(const statement& sql) {
    if (sql.sql().find('\0') != std::string::npos) {
        throw error(errc::bad_input, "the statement contains a zero byte").with(outcome::not_sent);
    }
}

void postgres_wire::choose_plan(const statement& sql) {
    plan_.clear();
    if (sql.may_be_prepared()) {
        const bool infers = statement_cache::infers(bound_.types());
        statements_.look_up(
            sql.sql(), bound_.types(),
            infers ? std::chrono::steady_clock::now() : statement_cache::time_point(), plan_);
    }
    if (plan_.what != statement_cache::action::prepared) {  // which was looked at before
        wire::check_count(sql.sql(), static_cast<std::size_t>(bound_.count()));
    }
}

bool postgres_wire::send_alone(const statement& sql) {
    if (!std::exchange(is_planned_, false)) {
        choose_plan(sql);
    }
    const bool prepares = plan_.what == statement_cache::action::prepare;
    if (!is_in_pipeline() && !prepares) {
        return send_bound(sql);
    }
    enter_pipeline();  // they take one trip in it
    const bool sent = (!prepares || send_preparation(sql)) && send_bound(sql) && send_sync();
    if (!sent && prepares) {
        statements_.forget(plan_.name);
    }
    return sent;
}

bool postgres_wire::send_part(const statement& sql) {
    choose_plan(sql);
    const bool prepares = plan_.what == statement_cache::action::prepare;
    return (!prepares || send_preparation(sql)) && send_bound(sql);
}

// In a pipeline: what the server may forget, then the new statement.
bool postgres_wire::send_preparation(const statement& sql) {
    for (const std::string& name : statements_.take_evicted()) {
        if (!libpq::send_forget(conn_.get(), name)) {
            return false;
        }
    }
    return PQsendPrepare(conn_.get(), plan_.name.c_str(), sql.sql().c_str(), bound_.count(),
                         bound_.types().data()) != 0;
}

bool postgres_wire::send_bound(const statement& sql) {
    const int format = sql.wants_text_results() ? 0 : 1;
    if (plan_.what == statement_cache::action::unnamed) {
        return PQsendQueryParams(conn_.get(), sql.sql().c_str(), bound_.count(),
                                 bound_.types().data(), bound_.values(), bound_.lengths(),
                                 bound_.formats(), format) != 0;
    }
    return PQsendQueryPrepared(conn_.get(), plan_.name.c_str(), bound_.count(), bound_.values(),
                               bound_.lengths(), bound_.formats(), format) != 0;
}

}  // namespace bitdotio
