// The stream that a session is busy with: rows, or a COPY either way.
#pragma once

#include <bitdotio/result.hpp>

#include "postgres/libpq.hpp"
#include "postgres/row_batch.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace bitdotio {

/// Which stream is open, whose it is, and the rows of it that nobody has asked for yet.
///
/// Thread safety: none but that of `is_held`; it belongs to its session.
class open_stream {
public:
    enum class kind { none, rows, copy_in, copy_out };

    /// The statement of the next stream is about to be sent.
    ///
    /// Parameters: `timeout` for each step of it.
    void prepare(bool in_transaction, std::chrono::milliseconds timeout) noexcept {
        ++number_;
        abandoned_ = false;
        in_transaction_ = in_transaction;
        timeout_ = timeout;
    }
    /// Parameters: `marks_ends` if its rows are of several statements, and the end of each counts.
    void begin(kind what, bool marks_ends = false) noexcept {
        what_ = what;
        wants_pieces_ = what == kind::rows;
        marks_ends_ = marks_ends;
        held_.store(abandoned_ ? 0 : number_, std::memory_order_release);
    }
    /// Of a COPY from here on only answers are to come.
    void await_answers() noexcept { what_ = kind::rows; }
    /// Nobody goes on with the stream of this number.
    void abandon(std::uint64_t number) noexcept {
        if (number == number_) {
            abandon();
        }
    }
    void abandon() noexcept {
        abandoned_ = true;
        held_.store(0, std::memory_order_release);
    }
    void end() noexcept {
        what_ = kind::none;
        wants_pieces_ = false;  // or the next statement's rows would come in pieces
        held_.store(0, std::memory_order_release);
        rest_.reset();
        columns_.reset();
        spare_.reset();
    }
    /// The connection has ended.
    void reset() noexcept {
        end();
        abandoned_ = false;
    }

    bool is_open() const noexcept { return what_ != kind::none; }
    bool is(kind what) const noexcept { return what_ == what; }
    bool is_abandoned() const noexcept { return abandoned_; }
    bool marks_ends() const noexcept { return marks_ends_; }
    /// Whether the holder of the stream of this number may go on with it.
    bool belongs_to(kind what, std::uint64_t number) const noexcept {
        return what_ == what && number == number_ && !abandoned_;
    }
    /// From any thread: whether the stream of this number is open for its holder.
    bool is_held(std::uint64_t number) const noexcept {
        return held_.load(std::memory_order_acquire) == number;
    }
    std::uint64_t number() const noexcept { return number_; }
    std::chrono::milliseconds timeout() const noexcept { return timeout_; }
    bool is_in_transaction() const noexcept { return in_transaction_; }
    /// Whether its rest must be read: to stop it would end the transaction that it is in.
    bool must_be_drained() const noexcept { return in_transaction_ && what_ != kind::copy_in; }

    /// True once: its rows are still to be asked for in pieces.
    bool asks_for_pieces() noexcept { return std::exchange(wants_pieces_, false); }

    /// Memory for the next rows.
    std::shared_ptr<row_batch> new_batch() {
        if (!spare_) {
            spare_ = std::make_shared<spare_batch>();
        }
        return spare_batch::take(spare_);
    }
    /// The columns of its rows, once the first have come; null before.
    const std::shared_ptr<const row_columns>& columns() const noexcept { return columns_; }
    void set_columns(std::shared_ptr<const row_columns> columns) noexcept {
        columns_ = std::move(columns);
    }

    /// A portion of the rows of a script for the holder.
    class portion {
    public:
        /// Begins with what was too much for the portion before.
        portion(open_stream& stream, std::vector<result>& rows, std::size_t most)
            : stream_(stream), rows_(rows), left_(most) {
            if (stream_.rest_) {
                add(std::move(stream_.rest_));
            }
        }

        /// Takes the rows of a piece; what is too much waits for the next portion.
        void add(libpq::result piece) {
            const auto size = static_cast<std::size_t>(PQntuples(piece.get()));
            if (size > left_) {
                const int wanted = static_cast<int>(left_);
                stream_.rest_ =
                    libpq::rows_of(piece.get(), wanted, static_cast<int>(size) - wanted);
                piece = libpq::rows_of(piece.get(), 0, wanted);
            }
            left_ -= std::min(size, left_);
            rows_.emplace_back(piece.release());
        }

        bool is_empty() const noexcept { return rows_.empty(); }
        bool is_full() const noexcept { return left_ == 0; }

    private:
        open_stream& stream_;
        std::vector<result>& rows_;
        std::size_t left_;
    };

private:
    kind what_ = kind::none;
    std::uint64_t number_ = 0;
    bool abandoned_ = false;
    bool in_transaction_ = false;
    bool wants_pieces_ = false;
    bool marks_ends_ = false;
    std::chrono::milliseconds timeout_{0};
    std::atomic<std::uint64_t> held_{0};  // numbers count from 1
    libpq::result rest_;
    std::shared_ptr<const row_columns> columns_;
    std::shared_ptr<spare_batch> spare_;
};

}  // namespace bitdotio
