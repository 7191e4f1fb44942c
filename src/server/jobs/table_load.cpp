// Guesses column types, checks values, widens types.
#include "server/jobs/table_load.hpp"

#include <bitdotio/error.hpp>

#include <algorithm>
#include <utility>

namespace bitdotio {

namespace {

constexpr std::size_t sample_rows = 1'000;
constexpr std::size_t sample_bytes = 16 * 1024 * 1024;
constexpr std::size_t slice = 256 * 1024;
constexpr std::size_t rows_at_once = 20'000;

}  // namespace

table_load::table_load(table_source source) : source_(std::move(source)) {}

void table_load::sample() {
    rewind();
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < sample_rows && bytes < sample_bytes && reader_->next(row_); ++i) {
        fits(row_);
        for (const cell& each : row_)
            bytes += each.text.size();
    }
    adopt_names();
    named_ = !names_.empty();
    if (columns_.empty()) {
        throw error(errc::bad_input, source_.name.empty()
                                         ? "the file has no columns"
                                         : "\"" + source_.name + "\" has no columns");
    }
    reader_.reset();
}

void table_load::take_existing(std::vector<load_column> columns) {
    existing_ = std::move(columns);
}

void table_load::forget_existing() {
    existing_.reset();
}

void table_load::rewind() {
    reader_ = source_.open();
    adopt_names();
}

// The reader may have found further names.
void table_load::adopt_names() {
    const std::vector<std::string>& names = reader_->names();
    if (names.size() > names_.size()) names_ = names;
    std::vector<std::string> usable =
        usable_names(names_, std::max(names_.size(), columns_.size()));
    rename_system_columns(usable);
    columns_.resize(usable.size());
    for (std::size_t i = 0; i < usable.size(); ++i)
        columns_[i].name = usable[i];
}

// Whether the row fits the columns; if not, they are widened to hold it.
bool table_load::fits(const cells& row) {
    bool fit = true;
    if (row.size() > columns_.size()) {
        columns_.resize(row.size());
        fit = false;
    }
    for (std::size_t i = 0; i < row.size(); ++i) {
        if (row[i].kind == cell_kind::null) continue;
        const column_type needed = wider(columns_[i].type, type_of(row[i]));
        fit = fit && needed == columns_[i].type;
        columns_[i].type = needed;
    }
    return fit;
}

table_load::progress table_load::fill(std::string& out) {
    const std::vector<load_column>& columns = existing_ ? *existing_ : columns_;
    while (out.size() < slice) {
        if (!reader_->next(row_)) return progress::end;
        if (!existing_ && !fits(row_)) return progress::misfit;
        if (row_.size() > columns.size()) {
            throw error(errc::bad_input, reader_->place() + " has a column \"" +
                                             reader_->names().back() +
                                             "\" that the table does not have");
        }
        for (std::size_t i = 0; i < columns.size(); ++i) {
            if (i > 0) out.push_back('\t');
            if (i < row_.size()) {
                append_copy_text(out, row_[i], columns[i].type);
            } else {
                out += "\\N";
            }
        }
        out.push_back('\n');
    }
    return progress::more;
}

bool table_load::widen() {
    for (std::size_t i = 0; i < rows_at_once; ++i) {
        if (!reader_->next(row_)) {
            adopt_names();
            return false;
        }
        fits(row_);
    }
    return true;
}

}  // namespace bitdotio
