// The handles of a COPY, and the rows of its binary format.
#include <bitdotio/copy.hpp>

#include "postgres/postgres_session.hpp"
#include "values/wire_reader.hpp"

#include <utility>

namespace bitdotio {

namespace {

error over() {
    return error(errc::protocol_violated,
                 "no COPY is open: it was never begun, is finished, or was given up")
        .with(outcome::not_sent);
}

error malformed() {
    return error(errc::protocol_violated, "the rows of a binary COPY are malformed");
}

// Another call is under way, which goes on: the handle is not over.
bool is_out_of_turn(const error& failure) {
    return failure.code() == errc::protocol_violated;
}

}  // namespace

copy_in::copy_in(wire::open_part<postgres_session> stream, copy_format format) noexcept
    : stream_(std::move(stream)), format_(format) {}

asio::awaitable<void> copy_in::write(std::string data) {
    bytes_written_ = true;
    return send(std::move(data));
}

asio::awaitable<void> copy_in::send(std::string data) {
    if (!stream_) {
        throw over();
    }
    try {
        co_await stream_->write_copy(stream_.number(), std::move(data));
    } catch (const error& failure) {
        if (!is_out_of_turn(failure)) {
            stream_.abandon();  // also where it never reached the session
        }
        throw;
    }
}

// See: PostgreSQL manual, SQL command COPY, "Binary Format".
void copy_in::begin_rows() {
    if (!std::exchange(header_written_, true)) {
        rows_.append("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
    }
}

std::size_t copy_in::begin_row(std::size_t columns) {
    if (!stream_) {
        throw over();
    }
    if (format_ != copy_format::binary) {
        throw error(errc::bad_input,
                    "write_row needs a binary COPY: add (FORMAT binary) to the statement, or "
                    "write its lines with write")
            .with(outcome::not_sent);
    }
    begin_rows();
    const std::size_t before = rows_.size();
    wire::put(rows_, static_cast<std::uint16_t>(columns));
    return before;
}

void copy_in::add_row(const params& row) {
    begin_row(row.size());
    for (std::size_t i = 0; i < row.size(); ++i) {
        if (row.is_null(i)) {
            wire::put(rows_, std::uint32_t{0xffff'ffff});
            continue;
        }
        const std::string_view value = row.value(i);
        wire::put(rows_, static_cast<std::uint32_t>(value.size()));
        rows_.append(value);
    }
}

asio::awaitable<void> copy_in::send_rows(std::size_t at_least) {
    if (rows_.size() >= at_least) {
        std::string rows = std::exchange(rows_, {});
        rows_.reserve(about + about / 16);  // as many again, and the row that is one too many
        co_await send(std::move(rows));
    }
}

asio::awaitable<std::uint64_t> copy_in::finish() {
    if (!stream_) {
        throw over();
    }
    if (format_ == copy_format::binary && !bytes_written_) {
        begin_rows();
        wire::put(rows_, std::uint16_t{0xffff});
        co_await send_rows(0);
    }
    auto ending = std::move(stream_);  // abandoned where it is given up before it began
    if (!ending) {
        throw over();
    }
    const std::uint64_t rows = co_await ending->finish_copy_in(ending.number(), std::nullopt);
    ending.end();
    co_return rows;
}

asio::awaitable<void> copy_in::cancel(std::string reason) {
    if (reason.find('\0') != std::string::npos) {
        throw error(errc::bad_input,
                    "the reason to give up the COPY contains a zero byte, which PostgreSQL cannot "
                    "take; the COPY is still open");
    }
    auto ending = std::move(stream_);
    if (!ending) {
        throw over();
    }
    co_await ending->finish_copy_in(ending.number(), std::move(reason));
    ending.end();
}

copy_out::copy_out(wire::open_part<postgres_session> stream, copy_format format) noexcept
    : stream_(std::move(stream)), format_(format) {}

asio::awaitable<std::optional<std::string>> copy_out::next() {
    if (!stream_ && !over_) {
        throw over();
    }
    if (!stream_) {
        co_return std::nullopt;
    }
    std::string data;
    try {
        data = co_await stream_->read_copy(stream_.number(), 65'536);
    } catch (const error& failure) {
        if (!is_out_of_turn(failure)) {
            over_ = true;
            stream_.abandon();  // also where it never reached the session
        }
        throw;
    }
    if (data.empty()) {
        over_ = true;
        stream_.end();
        co_return std::nullopt;
    }
    co_return data;
}

asio::awaitable<bool> copy_out::load_rows() {
    if (!stream_ && !over_) {
        throw over();
    }
    if (format_ != copy_format::binary) {
        throw error(errc::bad_input,
                    "next_row needs a binary COPY: add (FORMAT binary) to the statement, or read "
                    "its lines with next");
    }
    while (!has_rows()) {
        std::optional<std::string> more = co_await next();
        if (!more) {
            co_return false;
        }
        piece_ = std::move(*more);
        at_ = 0;
        if (!std::exchange(header_taken_, true)) {
            take_header();
        }
    }
    co_return true;
}

// See: PostgreSQL manual, SQL command COPY, "Binary Format". False at the trailer.
bool copy_out::take_row(std::size_t columns) {
    const auto count = wire::octets_at<std::uint16_t>(take(2).data());
    if (count == 0xffff) {
        return false;
    }
    ++row_;
    fields_.resize(count);
    for (wire::cell& field : fields_) {
        const auto size = wire::octets_at<std::uint32_t>(take(4).data());
        if (size == 0xffff'ffff) {
            field = {"", -1};
        } else {
            field = {take(size).data(), static_cast<std::int32_t>(size)};
        }
    }
    if (count != columns) {
        throw error(errc::unexpected_shape, "a row of the COPY has " + std::to_string(count) +
                                                " columns, and " + std::to_string(columns) +
                                                " are read");
    }
    return true;
}

// After the trailer only the answer of the statement is to come.
asio::awaitable<void> copy_out::expect_end() {
    const std::optional<std::string> more = co_await next();
    if (more) {
        throw malformed();
    }
}

void copy_out::take_header() {
    take(11 + 4);  // signature and flags
    take(wire::octets_at<std::uint32_t>(take(4).data()));
}

std::string_view copy_out::take(std::size_t size) {
    if (size > piece_.size() - at_) {
        throw malformed();
    }
    at_ += size;
    return {piece_.data() + (at_ - size), size};
}

}  // namespace bitdotio
