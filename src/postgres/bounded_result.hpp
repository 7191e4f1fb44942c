// Rows gathered into one result, up to a size.
#pragma once

#include "postgres/libpq.hpp"

#include <cstddef>
#include <new>
#include <utility>

namespace bitdotio {

/// What a statement's rows are gathered in that may not become as large as they like. libpq itself
/// would read a whole result before anybody can say that it is too much.
///
/// Thread safety: one thread at a time.
class bounded_result {
public:
    /// Parameters: `most` bytes of memory.
    explicit bounded_result(std::size_t most) : most_(most) {}

    /// Takes the rows of a piece. What comes once it is full is dropped.
    void add(const PGresult* piece) {
        if (full_) return;
        if (!rows_) rows_.reset(PQcopyResult(piece, PG_COPYRES_ATTRS));
        if (!rows_) throw std::bad_alloc();
        libpq::append_rows(rows_.get(), piece);
        if (PQresultMemorySize(rows_.get()) + finished_ > most_) {
            full_ = true;
            rows_.reset();
        }
    }

    /// The end of a statement's rows, which has their command tag, with the rows.
    libpq::result whole(libpq::result end) {
        if (!rows_) return end;
        libpq::result all(PQcopyResult(end.get(), PG_COPYRES_ATTRS));
        if (!all) throw std::bad_alloc();
        libpq::append_rows(all.get(), rows_.get());
        rows_.reset();
        finished_ += PQresultMemorySize(all.get());
        return all;
    }

    bool is_full() const noexcept { return full_; }
    std::size_t most() const noexcept { return most_; }

private:
    std::size_t most_;
    std::size_t finished_ = 0;  ///< the statements of a script together
    libpq::result rows_;
    bool full_ = false;
};

}  // namespace bitdotio
