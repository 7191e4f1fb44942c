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

row_view row_chunk::operator[](std::size_t row) const {
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

row_stream::row_stream(std::shared_ptr<postgres_session> session, std::shared_ptr<void> lease,
                       std::uint64_t stream) noexcept
    : session_(std::move(session)), lease_(std::move(lease)), stream_(stream) {}

row_stream& row_stream::operator=(row_stream&& other) noexcept {
    if (this != &other) {
        abandon();
        after_failure_ = std::move(other.after_failure_);
        rows_seen_ = other.rows_seen_;
        session_ = std::move(other.session_);
        lease_ = std::move(other.lease_);
        stream_ = other.stream_;
    }
    return *this;
}

row_stream::~row_stream() {
    abandon();
}

void row_stream::abandon() noexcept {
    if (session_) {
        session_->abandon_stream(stream_);
    }
    session_.reset();
    lease_.reset();
}

asio::awaitable<std::optional<row_chunk>> row_stream::next(std::size_t most) {
    if (!session_) {
        co_return std::nullopt;
    }
    std::vector<result> rows;
    std::optional<error> failure;
    do {
        failure.reset();
        try {
            rows = co_await session_->next_rows(stream_, most);
        } catch (const error& thrown) {
            if (is_out_of_turn(thrown)) {
                throw;
            }
            failure = thrown;
        }
        if (failure) {
            const replacement next_one = std::move(after_failure_);
            auto lease = std::move(lease_);
            session_->abandon_stream(stream_);  // where it was given up before it began
            session_.reset();
            if (!next_one) {
                throw *failure;
            }
            auto next = next_one(*failure, rows_seen_, std::move(lease));
            try {
                *this = co_await std::move(next);
            } catch (const boost::system::system_error&) {  // who is cancelled may await nothing
                throw *failure;
            }
        }
    } while (failure);
    rows_seen_ = rows_seen_ || !rows.empty();
    if (rows.empty()) {
        session_.reset();
        lease_.reset();
        co_return std::nullopt;
    }
    co_return row_chunk(std::move(rows));
}

}  // namespace bitdotio
