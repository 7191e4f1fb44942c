// Watches a session's messages: whether it rests, its idle limits, its life, its rows.
#pragma once

#include "base/deadline.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <utility>

namespace bitdotio {

/// Finds where the messages of one direction begin and end, whatever pieces they come in.
///
/// Thread safety: a value.
class message_boundaries {
public:
    enum class when { begun, whole };

    /// Parameters: `tell` a message once its first byte after the length is there, or once it is
    ///     there as a whole.
    explicit message_boundaries(when tell = when::begun) noexcept : tell_(tell) {}

    /// Calls `seen(type, first_byte)` for each message; that byte is 0 for an empty message, and
    /// where whole messages are told.
    template <class Seen>
    void read(std::string_view text, Seen seen);

    /// Whether no message is incomplete.
    bool between_messages() const noexcept { return have_ == 0 && left_ == 0; }

private:
    static constexpr std::size_t head_size = 5;  // type and length
    when tell_;
    std::array<char, head_size> head_{};
    std::size_t have_ = 0;    ///< of the head
    std::uint64_t left_ = 0;  ///< of the body
    bool told_ = true;        ///< the message has been seen
};

/// The limits of a session; 0 for none.
struct session_limits {
    session_limits() = default;

    std::chrono::milliseconds idle{300'000};
    std::chrono::milliseconds idle_in_transaction{300'000};
    std::chrono::milliseconds life{3'600'000};
};

/// A session is never ended while a statement may be running, nor within a message, but only when
/// PostgreSQL has said ReadyForQuery to everything the client asked for. Requests are kept in their
/// order, because a client may send many before the first answer, and PostgreSQL leaves some
/// unanswered: a Sync while it takes a COPY's data, and after an error all that comes before the
/// next Sync. Where it cannot be told which they were, the session counts as answered.
///
/// A session that waits for its client within a request, for the rest of a message, of a COPY's
/// data or of an extended query without Sync, has the limit of an open transaction.
///
/// A client that has more than `most_owed` requests waiting is `flooding`.
///
/// PostgreSQL's own limits are not enough: the session can lift them with SET.
///
/// Thread safety: one thread at a time. Time is an argument.
/// See: PostgreSQL manual, 55.2 "Message Flow".
class session_watch {
public:
    enum class ending { none, idle, idle_in_transaction, life, server_stops, flood };

    /// How many requests may wait for an answer; each takes a byte of ours. Far more than sockets
    /// hold: a client that only sends must have found something that PostgreSQL swallows.
    static constexpr std::size_t most_owed = 128 * 1024;

    session_watch(session_limits limits, time_point now);

    /// Takes what the client sent, before it is handed on.
    void from_client(std::string_view bytes, time_point now);
    /// Takes what PostgreSQL sent, before it is handed on.
    void from_server(std::string_view bytes, time_point now);
    /// Notes that PostgreSQL's bytes are in the client's socket. Nothing else can be sent before.
    void handed_on(time_point now);

    /// Notes that the server is stopping: the session ends as soon as no statement is running.
    void retire() noexcept { retired_ = true; }

    /// Whether more than `most_owed` requests wait.
    bool floods() const noexcept { return owed_.size() > most_owed; }
    /// Whether the client has sent Terminate.
    bool has_said_goodbye() const noexcept { return goodbye_; }

    /// Why the session has to end now, if it does.
    ending due(time_point now) const;
    /// When `due` has to be asked again if no message passes; nothing if there is no limit.
    std::optional<time_point> next(time_point now) const;
    /// Whether `due` has to be asked after each answer, because the session should be over.
    bool is_pressing(time_point now) const { return retired_ || now >= end_of_life_; }

    /// The rows that PostgreSQL has sent since they were last taken.
    std::int64_t rows() const noexcept { return rows_; }
    std::int64_t take_rows() noexcept { return std::exchange(rows_, 0); }

private:
    void owe(char type);
    void copy_begins();
    void answered();
    bool rests() const noexcept;
    bool waits_for_client() const noexcept;
    std::chrono::milliseconds idle_limit() const noexcept;

    session_limits limits_;
    message_boundaries asked_{message_boundaries::when::whole};
    message_boundaries answered_;
    /// What PostgreSQL answers with a ReadyForQuery each: 'S' for a Sync, 'Q' for a query or a
    /// function call, 'q' for one after messages without a Sync. Among them 'c' where data ends.
    std::deque<char> owed_;
    char status_ = 0;             ///< of the last ReadyForQuery; 0 if something came after it
    bool loose_ = false;          ///< the client has not yet sent the Sync of what it asked for
    bool skipping_ = false;       ///< PostgreSQL ignores what comes before that Sync
    std::size_t unanswered_ = 0;  ///< messages of what is loose
    std::size_t flushed_ = 0;     ///< those of them whose answer the client wants now
    bool copying_ = false;        ///< PostgreSQL takes data, whose end the client has not sent yet
    bool failed_ = false;         ///< there was an error since the last ReadyForQuery
    bool handing_on_ = false;
    bool goodbye_ = false;
    bool retired_ = false;
    std::int64_t rows_ = 0;
    time_point quiet_since_;
    time_point end_of_life_;
};

template <class Seen>
void message_boundaries::read(std::string_view text, Seen seen) {
    while (!text.empty()) {
        if (left_ == 0) {
            while (have_ < head_size && !text.empty()) {
                head_[have_++] = text.front();
                text.remove_prefix(1);
            }
            if (have_ < head_size) return;
            std::uint32_t length = 0;
            for (std::size_t i = 1; i < head_size; ++i) {
                length = length << 8 | static_cast<unsigned char>(head_[i]);
            }
            have_ = 0;
            left_ = length > 4 ? length - 4 : 0;
            told_ = left_ == 0;
            if (told_) seen(head_[0], '\0');
            continue;
        }
        if (!told_ && tell_ == when::begun) {
            told_ = true;
            seen(head_[0], text.front());
        }
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, text.size()));
        left_ -= size;
        text.remove_prefix(size);
        if (!told_ && left_ == 0) {
            told_ = true;
            seen(head_[0], '\0');
        }
    }
}

}  // namespace bitdotio
