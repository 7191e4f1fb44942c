// Errors, told apart by what the caller can do about them.
#pragma once

#include <boost/system/error_code.hpp>

#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

namespace bitdotio {

/// Why an operation failed, named after the remedy rather than the mechanism.
enum class errc {
    /// An argument, an option or a file is malformed: correct the call. Nothing was sent.
    bad_input = 1,
    /// The key or password is wrong (401, SQLSTATE class 28): use another one.
    authentication_failed,
    /// The key is right but may not do this (403, SQLSTATE 42501).
    permission_denied,
    /// The database, job or account does not exist, or is not this key's (404, SQLSTATE 3D000).
    not_found,
    /// The name is taken or the state forbids it (409).
    conflict,
    /// The statement is wrong or a constraint refused it: see `sqlstate()`.
    query_failed,
    /// The transaction lost against another (SQLSTATE 40001, 40P01): run it again.
    transaction_conflict,
    /// No connection could be made, and waiting would not help: check address and network.
    connect_failed,
    /// The peer's certificate does not verify: check host name and CA file.
    tls_failed,
    /// The connection broke. `outcome()` says whether the statement may have run.
    connection_lost,
    /// The connection broke while COMMIT was under way: the transaction may have happened.
    commit_outcome_unknown,
    /// The transaction is committed on this server, but no synchronous standby has confirmed it: do
    /// not run it again.
    replication_unconfirmed,
    /// The database was still waking when the time ran out: try again, or allow more time.
    database_asleep,
    /// The server has no connection left (SQLSTATE class 53): try later or use fewer.
    server_busy,
    /// Every connection of the pool was in use until the time ran out.
    acquire_timeout,
    /// The pool's queue of waiters is full.
    queue_full,
    /// The pool was closed.
    pool_closed,
    /// The deadline of the operation passed. `outcome()` says whether the statement ran.
    timeout,
    /// The caller cancelled. `outcome()` says whether the statement ran.
    cancelled,
    /// A value does not fit the C++ type that was asked for.
    wrong_type,
    /// NULL was read into a type that has no room for it: read a `std::optional`.
    unexpected_null,
    /// No column has that name or index.
    no_such_column,
    /// The result has another number of rows or columns than was asked for.
    unexpected_shape,
    /// The result is larger than statement::largest_result: ask for less, or stream it.
    result_too_large,
    /// The HTTP API refused or failed: see `http_status()`.
    api_failed,
    /// Too many requests (429): wait, then try again.
    rate_limited,
    /// An operation on a file or a process of the operating system failed.
    system_failed,
    /// The peer broke its protocol, or the connection was used out of turn.
    protocol_violated,
    /// It belongs to the process that forked this one: make a new one here. Nothing was sent.
    forked,
};

/// The category of `errc`, named "bitdotio".
const boost::system::error_category& error_category() noexcept;

boost::system::error_code make_error_code(errc code) noexcept;

/// How far an operation had come when it failed.
enum class phase {
    none,
    resolving,
    connecting,
    acquiring,
    sending,
    awaiting_reply,
    replied,
    committing
};

/// What is known about the statement that failed.
enum class outcome {
    none,          ///< Nothing is said: the error is about something else, such as reading a row.
    not_sent,      ///< It never left this process.
    not_executed,  ///< It reached the server and provably changed nothing.
    executed,      ///< It took effect, although an error was reported.
    unknown,       ///< Not known: only the caller can decide whether to run it again.
};

std::string_view to_string(errc code) noexcept;
std::string_view to_string(phase value) noexcept;
std::string_view to_string(outcome value) noexcept;

/// The server's own words about an error. Fields are empty where it gave none.
///
/// Thread safety: a value.
/// See: PostgreSQL manual, 55.8 "Error and Notice Message Fields".
struct server_message {
    std::string severity;
    std::string sqlstate;
    std::string message;
    std::string detail;
    std::string hint;
    std::string context;
    std::string schema;
    std::string table;
    std::string column;
    std::string data_type;
    std::string constraint;
    std::string routine;       ///< the server's source function that reported it
    std::size_t position = 0;  ///< 1-based character in the statement; 0 if not given.
};

/// The one exception type of this library, thrown from awaitables.
///
/// `what()` is a sentence that names what was wrong and, where it is known, what would be right. It
/// never holds an API key or a password, and no bound value unless the server's own words quote
/// one.
///
/// Thread safety: a value; copies share their contents, which never change once thrown.
class error : public std::exception {
public:
    error(errc code, std::string message);
    error(const error&) noexcept = default;
    error(error&&) noexcept = default;
    error& operator=(const error&) noexcept = default;
    error& operator=(error&&) noexcept = default;
    ~error() override = default;

    const char* what() const noexcept override;

    errc code() const noexcept;
    boost::system::error_code error_code() const noexcept { return make_error_code(code()); }

    /// The five characters of the SQLSTATE; empty if the server gave none.
    const std::string& sqlstate() const noexcept;
    /// The server's fields; all empty if the error did not come from the server.
    const server_message& server() const noexcept;
    /// The HTTP status; 0 if the error did not come from the HTTP API.
    int http_status() const noexcept;
    /// The body of the HTTP answer as it came, for callers that know its shape.
    const std::string& http_body() const noexcept;

    bitdotio::phase phase() const noexcept;
    bitdotio::outcome outcome() const noexcept;
    /// The transaction whose COMMIT was not answered, for `resolve_commit` and logs: its number,
    /// the server's timeline and system identifier. Empty unless it was begun as resolvable.
    const std::string& transaction_id() const noexcept;
    /// How many times the operation was tried, at least 1.
    int attempts() const noexcept;
    /// Whether the operation met a sleeping database on its way.
    bool woke_database() const noexcept;

    /// Each of these returns a copy that says more; used where errors are made.
    error with(server_message value) const;
    error with(bitdotio::phase value) const;
    error with(bitdotio::outcome value) const;
    error with_code(errc code) const;
    error with_message(std::string message) const;
    error with_http(int status, std::string body) const;
    error with_transaction_id(std::string id) const;
    error with_attempts(int attempts) const;
    error with_woke_database(bool woke) const;

private:
    struct contents;
    explicit error(contents&& value);
    contents copy() const;
    std::shared_ptr<const contents> contents_;
};

}  // namespace bitdotio

template <>
struct boost::system::is_error_code_enum<bitdotio::errc> : std::true_type {};
