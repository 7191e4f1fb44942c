// Draws tables: columns side by side, or each row as a list of its own where they do not fit.
#include "cli/query.hpp"
#include "cli/row_writer.hpp"

#include <unistd.h>
#include <algorithm>
#include <utility>

namespace bitdotio::cli {

namespace {

// So many rows tell the widths of the columns. A wider value that comes later pushes the rest of
// its row aside.
constexpr std::size_t measured_rows = 1'000;
constexpr std::size_t measured_bytes = std::size_t{4} << 20;

constexpr std::string_view bold = "\x1b[1m";
constexpr std::string_view faint = "\x1b[2m";
constexpr std::string_view plain = "\x1b[0m";

class table_writer final : public row_writer {
public:
    table_writer(paged_output& to, std::size_t columns, bool color)
        : to_(to), screen_(columns), color_(color) {}

    void begin(std::vector<answer_column> columns) override {
        columns_ = std::move(columns);
        widths_.clear();
        for (answer_column& one : columns_) {
            one.name = printable(one.name);
            widths_.push_back(width_of(one.name));
        }
        measured_ = false;
        kept_.clear();
        kept_bytes_ = 0;
        number_ = 0;
    }

    void row(const std::vector<cell>& cells) override {
        std::vector<cell> shown;
        shown.reserve(cells.size());
        for (const cell& one : cells) {
            shown.push_back(one ? cell(printable(*one)) : std::nullopt);
        }
        if (measured_) {
            draw(shown);
            return;
        }
        for (std::size_t i = 0; i < shown.size() && i < widths_.size(); ++i) {
            widths_[i] = std::max(widths_[i], shown[i] ? width_of(*shown[i]) : null_.size());
            kept_bytes_ += shown[i] ? shown[i]->size() : 0;
        }
        kept_.push_back(std::move(shown));
        if (kept_.size() >= measured_rows || kept_bytes_ >= measured_bytes) begin_drawing();
    }

    void end() override {
        if (!measured_ && !columns_.empty()) begin_drawing();
    }

private:
    void begin_drawing() {
        measured_ = true;
        std::size_t all = 0;
        for (const std::size_t width : widths_)
            all += width + 3;
        lists_ = screen_ > 0 && all > screen_ + 1 && columns_.size() > 1;
        if (!lists_) {
            std::string names;
            std::string rule;
            for (std::size_t i = 0; i < columns_.size(); ++i) {
                names += i > 0 ? " | " : " ";
                rule += i > 0 ? "-+-" : "-";
                names += styled(bold, padded(columns_[i].name, i, i + 1 == columns_.size()));
                rule.append(widths_[i], '-');
            }
            to_.write(names + "\n" + rule + "-\n");
        }
        for (const std::vector<cell>& each : std::exchange(kept_, {}))
            draw(each);
    }

    void draw(const std::vector<cell>& cells) {
        ++number_;
        if (lists_) {
            draw_list(cells);
            return;
        }
        std::string line;
        for (std::size_t i = 0; i < cells.size(); ++i) {
            line += i > 0 ? " | " : " ";
            const bool last = i + 1 == cells.size();
            const std::string text = padded(cells[i] ? *cells[i] : std::string(null_), i, last);
            line += cells[i] ? text : styled(faint, text);
        }
        to_.write(line += '\n');
    }

    // As psql's expanded display.
    void draw_list(const std::vector<cell>& cells) {
        std::size_t widest = 0;
        for (const answer_column& one : columns_)
            widest = std::max(widest, width_of(one.name));
        std::string head = "-[ " + std::to_string(number_) + " ]";
        const std::size_t rule = std::min<std::size_t>(screen_, 60);
        if (head.size() < rule) head.append(rule - head.size(), '-');
        std::string text = styled(faint, head) + "\n";
        for (std::size_t i = 0; i < cells.size(); ++i) {
            const std::string& name = columns_[i].name;
            text += styled(bold, name) + std::string(widest - width_of(name), ' ') + " | " +
                    (cells[i] ? *cells[i] : styled(faint, std::string(null_))) + "\n";
        }
        to_.write(text);
    }

    // Filled up to the column's width: numbers from the left; the last one not at all.
    std::string padded(const std::string& text, std::size_t column, bool last) const {
        const std::size_t width = width_of(text);
        const std::string space(widths_[column] > width ? widths_[column] - width : 0, ' ');
        if (columns_[column].is_number()) return space + text;
        return last ? text : text + space;
    }

    std::string styled(std::string_view style, const std::string& text) const {
        return color_ ? std::string(style) + text + std::string(plain) : text;
    }

    static constexpr std::string_view null_ = "NULL";

    paged_output& to_;
    const std::size_t screen_;
    const bool color_;
    std::vector<answer_column> columns_;
    std::vector<std::size_t> widths_;
    std::vector<std::vector<cell>> kept_;  // until they are measured
    std::size_t kept_bytes_ = 0;
    std::size_t number_ = 0;
    bool measured_ = false;
    bool lists_ = false;
};

}  // namespace

std::unique_ptr<row_writer> make_table_writer(paged_output& to, std::size_t columns, bool color) {
    return std::make_unique<table_writer>(to, columns, color);
}

void print_table(const arguments& words, const std::vector<answer_column>& columns,
                 const std::vector<std::vector<cell>>& rows) {
    paged_output out(true);
    const auto writer = make_table_writer(out, columns_of_screen(STDOUT_FILENO),
                                          may_use_color(words, STDOUT_FILENO));
    writer->begin(columns);
    for (const std::vector<cell>& each : rows)
        writer->row(each);
    writer->end();
    out.finish();
    if (rows.empty()) tell(count_text(0));
}

}  // namespace bitdotio::cli
