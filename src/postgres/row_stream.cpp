// The handle of a stream of rows.
#include <bitdotio/row_stream.hpp>

#include "postgres/postgres_session.hpp"
#include "postgres/row_errors.hpp"

#include <string>
#include <utility>

namespace bitdotio {

namespace {

// Another call is under way, which goes on: the handle is not over.
bool is_out_of_turn(const error& failure) {
    return failure.code() == errc::protocol_violated;
}

}  // namespace

row_view row_chunk::operator[](std::size_t row) const& {
    if (row >= rows_.size) {
        throw error(errc::unexpected_shape, "there is no row " + std::to_string(row) +
                                                " in a chunk of " + std::to_string(rows_.size) +
                                                "; they count from 0");
    }
    return view(row);
}

void row_chunk::require_columns(std::size_t expected) const {
    require_shape(rows_.shape.count, expected);
}

row_stream::row_stream(wire::open_part<postgres_session> stream, replacement after_failure,
                       std::chrono::milliseconds step_timeout) noexcept
    : stream_(std::move(stream)),
      after_failure_(std::move(after_failure)),
      step_timeout_(step_timeout) {}

asio::awaitable<std::optional<row_chunk>> row_stream::next(std::size_t most) {
    if (most == 0 && stream_) {
        co_return row_chunk();
    }
    if (!has_rows()) {
        const bool there = co_await load(most);
        if (!there) {
            co_return std::nullopt;
        }
    }
    row_chunk chunk(rest_.take(most));
    given_ += chunk.size();
    co_return chunk;
}

// Rows that were kept are those of an open stream: whatever ended it is told instead of them.
bool row_stream::has_rows() const noexcept {
    return rest_.size > 0 && stream_ && stream_->has_stream(stream_.number());
}

// What does not fit is a row that was read, as a value that does not fit.
void row_stream::require_columns(std::size_t expected) {
    if (rest_.shape.count != expected) {
        rest_.drop_first();
        ++given_;
        require_shape(rest_.shape.count, expected);
    }
}

asio::awaitable<bool> row_stream::load(std::size_t most) {
    if (!stream_ && !over_) {
        throw error(errc::protocol_violated, "the row_stream was never opened, or was moved from")
            .with(outcome::not_sent);
    }
    if (!stream_) {
        co_return false;
    }
    rest_ = {};
    const time_point until = deadline_after(step_timeout_);
    std::optional<error> failure;
    do {
        failure.reset();
        try {
            rest_ = co_await stream_->fetch_rows(stream_.number(), most, until);
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
    if (rest_.size == 0) {
        stream_.end();
        over_ = true;
        co_return false;
    }
    rows_seen_ = true;
    co_return true;
}

}  // namespace bitdotio
