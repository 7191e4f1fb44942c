// The handle of a stream of rows.
#include <bitdotio/row_stream.hpp>

#include "postgres/postgres_session.hpp"

#include <string>
#include <utility>

namespace bitdotio {

namespace {

// Another call is under way, which goes on: the handle is not over.
bool is_out_of_turn(const error& failure) {
    return failure.code() == errc::protocol_violated;
}

}  // namespace

row_chunk::row_chunk(std::vector<result> parts) noexcept : parts_(std::move(parts)) {
    for (const result& part : parts_) {
        size_ += part.size();
    }
}

row_view row_chunk::operator[](std::size_t row) const& {
    std::size_t left = row;
    for (const result& part : parts_) {
        if (left < part.size()) {
            return part[left];
        }
        left -= part.size();
    }
    throw error(errc::unexpected_shape, "there is no row " + std::to_string(row) +
                                            " in a chunk of " + std::to_string(size_) +
                                            "; they count from 0");
}

row_stream::row_stream(wire::open_part<postgres_session> stream, replacement after_failure,
                       std::chrono::milliseconds step_timeout) noexcept
    : stream_(std::move(stream)),
      after_failure_(std::move(after_failure)),
      step_timeout_(step_timeout) {}

asio::awaitable<std::optional<row_chunk>> row_stream::next(std::size_t most) {
    if (!stream_ && !over_) {
        throw error(errc::protocol_violated, "the row_stream was never opened, or was moved from")
            .with(outcome::not_sent);
    }
    if (!stream_) {
        co_return std::nullopt;
    }
    if (most == 0) {
        co_return row_chunk();
    }
    const time_point until = deadline_after(step_timeout_);
    std::vector<result> rows;
    std::optional<error> failure;
    do {
        failure.reset();
        try {
            rows = co_await stream_->next_rows(stream_.number(), most, until);
        } catch (const error& thrown) {
            if (is_out_of_turn(thrown)) {
                throw;
            }
            failure = thrown;
        }
        if (failure) {
            const replacement next_one = std::move(after_failure_);
            auto lease = stream_.abandon();  // where it was given up before it began
            over_ = true;
            if (!next_one) {
                throw *failure;
            }
            auto next = next_one(*failure, rows_seen_, std::move(lease), until);
            try {
                *this = co_await std::move(next);
            } catch (const boost::system::system_error&) {  // who is cancelled may await nothing
                throw *failure;
            }
        }
    } while (failure);
    rows_seen_ = rows_seen_ || !rows.empty();
    if (rows.empty()) {
        stream_.end();
        over_ = true;
        co_return std::nullopt;
    }
    co_return row_chunk(std::move(rows));
}

}  // namespace bitdotio
