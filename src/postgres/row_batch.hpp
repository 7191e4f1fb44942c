// Rows of a stream that have come together, each as small as it can be.
#pragma once

#include <bitdotio/row.hpp>

#include "postgres/libpq.hpp"
#include "values/known_types.hpp"

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace bitdotio {

/// What the rows of a statement have in common.
///
/// Thread safety: constant.
class row_columns {
public:
    /// Parameters: `rows` is an answer with the columns; `types` may be null.
    row_columns(const PGresult* rows, std::shared_ptr<const wire::known_types> types);

    const PGresult* described() const noexcept { return described_.get(); }
    std::size_t count() const noexcept { return columns_.size(); }
    wire::row_shape shape() const noexcept {
        return {columns_.data(), columns_.size(), types_.get()};
    }

private:
    libpq::result described_;  // without rows
    std::shared_ptr<const wire::known_types> types_;
    std::vector<wire::column> columns_;
};

/// The rows that a stream has taken in at once. libpq gives each row in some 3 kB of memory of its
/// own; here rows lie close together, in memory that is used again for the next ones.
///
/// Thread safety: none while rows are added.
class row_batch {
public:
    /// It takes no more once it holds so many octets, the last row beside.
    static constexpr std::size_t most_octets = 256 * 1024;

    /// Takes the rows of an answer, all of one statement. It takes the answer too where that costs
    /// less than to copy its rows.
    void add(libpq::result& rows, const std::shared_ptr<const row_columns>& columns);
    void clear() noexcept;

    std::size_t size() const noexcept { return size_; }
    bool is_empty() const noexcept { return size_ == 0; }
    bool is_full() const noexcept { return octets_ >= most_octets; }

    /// All rows; they refer to this.
    wire::row_span rows() const noexcept;

private:
    static constexpr std::size_t block_size = 16 * 1024;
    static constexpr std::size_t largest_copied = 4 * 1024;

    wire::cell* new_cells(std::size_t count);
    bool copies_row(const PGresult* row, std::size_t count);
    char* room(std::size_t octets);

    std::shared_ptr<const row_columns> columns_;
    std::vector<wire::cell> cells_;  // of all rows, and room for more
    std::vector<std::unique_ptr<char[]>> blocks_;
    std::vector<libpq::result> kept_;  // whose rows were not copied
    std::size_t cells_used_ = 0;
    std::size_t blocks_used_ = 0;
    char* at_ = nullptr;  // in the last of these
    std::size_t left_ = 0;
    std::size_t size_ = 0;
    std::size_t octets_ = 0;
};

/// Where the memory of a batch waits to be used again.
///
/// Thread safety: may be used from any thread.
class spare_batch {
public:
    spare_batch() = default;
    spare_batch(const spare_batch&) = delete;
    spare_batch& operator=(const spare_batch&) = delete;
    ~spare_batch() { delete kept_.load(std::memory_order_acquire); }

    /// A batch without rows, which comes back here when nobody refers to it any more.
    static std::shared_ptr<row_batch> take(const std::shared_ptr<spare_batch>& from);

private:
    void give(row_batch* batch) noexcept {
        batch->clear();
        delete kept_.exchange(batch, std::memory_order_acq_rel);
    }

    std::atomic<row_batch*> kept_{nullptr};
};

}  // namespace bitdotio
