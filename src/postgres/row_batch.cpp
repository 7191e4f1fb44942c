// Copies rows out of libpq's answers.
#include "postgres/row_batch.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace bitdotio {

namespace {

// Most values are small, and a call costs more than to copy them.
void copy_value(char* to, const char* from, std::size_t size) noexcept {
    switch (size) {
        case 0: return;
        case 1: *to = *from; return;
        case 2: std::memcpy(to, from, 2); return;
        case 4: std::memcpy(to, from, 4); return;
        case 8: std::memcpy(to, from, 8); return;
        default: std::memcpy(to, from, size);
    }
}

}  // namespace

row_columns::row_columns(const PGresult* rows, std::shared_ptr<const wire::known_types> types)
    : described_(PQcopyResult(rows, PG_COPYRES_ATTRS)),
      types_(std::move(types)),
      columns_(static_cast<std::size_t>(PQnfields(rows))) {
    if (!described_) {
        throw std::bad_alloc();
    }
    wire::describe(described_.get(), types_.get(), columns_.data(), columns_.size());
}

void row_batch::add(libpq::result& rows, const std::shared_ptr<const row_columns>& columns) {
    if (!columns_) {
        columns_ = columns;
    }
    const std::size_t count = columns->count();
    const auto added = static_cast<std::size_t>(PQntuples(rows.get()));
    // A piece of many rows is as dense as a copy of it.
    if (added == 1 && copies_row(rows.get(), count)) {
        ++size_;
        return;
    }
    for (std::size_t row = 0; row < added && added > 1; ++row) {
        wire::load_cells(rows.get(), row, new_cells(count), count);
    }
    octets_ += PQresultMemorySize(rows.get());
    kept_.push_back(std::move(rows));
    size_ += added;
}

wire::cell* row_batch::new_cells(std::size_t count) {
    if (cells_used_ + count > cells_.size()) {
        cells_.resize(std::max(cells_used_ + count, 2 * cells_.size()));
    }
    wire::cell* const cells = cells_.data() + cells_used_;
    cells_used_ += count;
    octets_ += count * sizeof(wire::cell) + 1;  // one more, lest rows without columns be free
    return cells;
}

// False if the row is large; then its cells are where libpq has them.
bool row_batch::copies_row(const PGresult* row, std::size_t count) {
    wire::cell* const cells = new_cells(count);
    std::size_t octets = count;  // a zero octet after each, as libpq's have
    for (std::size_t i = 0; i < count; ++i) {
        const int column = static_cast<int>(i);
        const int size = PQgetlength(row, 0, column);
        cells[i] = {PQgetvalue(row, 0, column), size};
        octets += static_cast<std::size_t>(size);
        if (size == 0 && PQgetisnull(row, 0, column) != 0) {
            cells[i].size = -1;
        }
    }
    if (octets > largest_copied) {
        return false;
    }
    char* to = room(octets);
    for (std::size_t i = 0; i < count; ++i) {
        const auto size = static_cast<std::size_t>(std::max(cells[i].size, 0));
        copy_value(to, cells[i].data, size);
        to[size] = '\0';
        cells[i].data = to;
        to += size + 1;
    }
    return true;
}

char* row_batch::room(std::size_t octets) {
    if (octets > left_ || !at_) {
        if (blocks_used_ == blocks_.size()) {
            blocks_.push_back(std::make_unique_for_overwrite<char[]>(block_size));
        }
        at_ = blocks_[blocks_used_++].get();
        left_ = block_size;
    }
    char* const place = at_;
    at_ += octets;
    left_ -= octets;
    octets_ += octets;
    return place;
}

void row_batch::clear() noexcept {
    columns_.reset();
    kept_.clear();
    cells_used_ = 0;
    blocks_used_ = 0;
    at_ = nullptr;
    left_ = 0;
    size_ = 0;
    octets_ = 0;
}

wire::row_span row_batch::rows() const noexcept {
    wire::row_span all;
    all.described = columns_ ? columns_->described() : nullptr;
    all.shape = columns_ ? columns_->shape() : wire::row_shape();
    all.cells = cells_.data();
    all.size = size_;
    return all;
}

std::shared_ptr<row_batch> spare_batch::take(const std::shared_ptr<spare_batch>& from) {
    std::unique_ptr<row_batch> batch(from->kept_.exchange(nullptr, std::memory_order_acq_rel));
    if (!batch) {
        batch = std::make_unique<row_batch>();
    }
    // shared_ptr destroys what it was given if it cannot be made.
    return {batch.release(), [from](row_batch* done) noexcept { from->give(done); }};
}

}  // namespace bitdotio
