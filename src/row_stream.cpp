// The handle of a stream of rows.
#include <bitdotio/row_stream.hpp>

#include "postgres_session.hpp"

#include <string>
#include <utility>

namespace bitdotio {

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

row_stream::row_stream(std::shared_ptr<postgres_session> session,
                       std::shared_ptr<void> lease) noexcept
    : session_(std::move(session)), lease_(std::move(lease)) {}

row_stream& row_stream::operator=(row_stream&& other) noexcept {
    if (this != &other) {
        abandon();
        session_ = std::move(other.session_);
        lease_ = std::move(other.lease_);
    }
    return *this;
}

row_stream::~row_stream() {
    abandon();
}

void row_stream::abandon() noexcept {
    if (session_) {
        session_->abandon_stream();
    }
    session_.reset();
    lease_.reset();
}

asio::awaitable<std::optional<row_chunk>> row_stream::next(std::size_t most) {
    if (!session_) {
        co_return std::nullopt;
    }
    std::vector<result> rows;
    try {
        rows = co_await session_->next_rows(most);
    } catch (const error& failure) {
        if (failure.code() != errc::protocol_violated) {  // another call is under way: go on
            session_.reset();
            lease_.reset();
        }
        throw;
    }
    if (rows.empty()) {
        session_.reset();
        lease_.reset();
        co_return std::nullopt;
    }
    co_return row_chunk(std::move(rows));
}

}  // namespace bitdotio
