// Writes XLSX with libxlsxwriter, which keeps one row in memory.
#include "base/ascii.hpp"
#include "server/formats/export_values.hpp"
#include "server/formats/job_failure.hpp"
#include "server/formats/row_writer.hpp"

#include <xlsxwriter.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

namespace bitdotio {

namespace {

constexpr std::uint32_t most_rows = 1'048'576;
constexpr std::size_t widest_sheet = 16'384;

// Escapes what XML cannot hold, U+FFFE and U+FFFF, and what would be read as an escape itself;
// libxlsxwriter escapes control characters.
//
// See: ECMA-376, Part 1, 22.9.2.19, ST_Xstring.
std::string escaped(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const std::string_view rest = text.substr(i);
        if (rest.starts_with("\xef\xbf\xbe") || rest.starts_with("\xef\xbf\xbf")) {
            out += rest[2] == '\xbe' ? "_xFFFE_" : "_xFFFF_";
            i += 2;
        } else if (rest.starts_with("_x") && rest.size() >= 6 &&
                   std::all_of(rest.begin() + 2, rest.begin() + 6,
                               [](char c) { return ascii::hex_digit(c).has_value(); })) {
            out += "_x005F_";
        } else {
            out.push_back(text[i]);
        }
    }
    return out;
}

class xlsx_writer final : public row_writer {
public:
    xlsx_writer(const std::filesystem::path& file, std::vector<export_column> columns)
        : columns_(std::move(columns)), directory_(file.parent_path().string()) {
        if (columns_.size() > widest_sheet) {
            throw job_failure("unrepresentable", "XLSX holds at most 16,384 columns");
        }
        lxw_workbook_options options{};
        options.constant_memory = LXW_TRUE;
        options.tmpdir = directory_.data();
        events_ = workbook_new_opt(file.c_str(), &options);
        sheet_ = events_ ? workbook_add_worksheet(events_, nullptr) : nullptr;
        if (!sheet_) throw error(errc::system_failed, "an XLSX file cannot be begun");
        dates_ = workbook_add_format(events_);
        format_set_num_format(dates_, "yyyy-mm-dd");
        times_ = workbook_add_format(events_);
        format_set_num_format(times_, "yyyy-mm-dd hh:mm:ss.000");
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            write_text(static_cast<lxw_col_t>(i), columns_[i].name);
        }
        ++row_;
    }

    ~xlsx_writer() override {
        if (events_) workbook_close(events_);  // the only way to free it
    }

    void write(const export_row& row) override {
        if (row_ == most_rows) {
            throw job_failure("unrepresentable",
                              "XLSX holds at most 1,048,576 rows, the names of the columns "
                              "included: export less, or as csv or parquet");
        }
        for (std::size_t i = 0; i < row.size(); ++i) {
            if (row[i]) write_value(static_cast<lxw_col_t>(i), *row[i], columns_[i].type);
        }
        ++row_;
    }

    void finish() override {
        const lxw_error failure = workbook_close(std::exchange(events_, nullptr));
        if (failure != LXW_NO_ERROR) {
            throw error(errc::system_failed,
                        std::string("the XLSX file cannot be written: ") + lxw_strerror(failure));
        }
    }

private:
    // Values that a spreadsheet's double cannot hold exactly are written as text.
    void write_value(lxw_col_t column, std::string_view text, oid type) {
        switch (type) {
            case oids::boolean:
                worksheet_write_boolean(sheet_, row_, column, text == "t", nullptr);
                return;
            case oids::int2:
            case oids::int4:
            case oids::int8:
            case oids::oid_:
            case oids::numeric:
                if (significant_digits(text) <= 15 && write_number(column, text)) return;
                break;
            case oids::float4:
            case oids::float8:
                if (write_number(column, text)) return;
                break;
            case oids::date:
                if (const auto date = read_date(text);
                    date && write_time(column, civil_time{*date, 0}, dates_)) {
                    return;
                }
                break;
            case oids::timestamp:
                if (const auto time = read_timestamp(text);
                    time && time->microseconds % 1'000 == 0 && write_time(column, *time, times_)) {
                    return;
                }
                break;
            default: break;
        }
        write_text(column, text);
    }

    static std::size_t significant_digits(std::string_view text) {
        std::size_t count = 0;
        for (const char c : text)
            count += c >= '0' && c <= '9';
        return count;
    }

    bool write_number(lxw_col_t column, std::string_view text) {
        double value = 0;
        const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
        if (read.ec != std::errc() || !std::isfinite(value)) return false;
        return worksheet_write_number(sheet_, row_, column, value, nullptr) == LXW_NO_ERROR;
    }

    // Spreadsheets count days from 1900, with a 29th of February that never existed.
    bool write_time(lxw_col_t column, const civil_time& time, lxw_format* format) {
        const std::int64_t day = days_since_1970(time.date) + 25'569;
        if (day < 61 || time.date.year > 9'999) return false;
        const double number =
            static_cast<double>(day) + static_cast<double>(time.microseconds) / 86'400e6;
        return worksheet_write_number(sheet_, row_, column, number, format) == LXW_NO_ERROR;
    }

    void write_text(lxw_col_t column, std::string_view text) {
        const std::string ended = escaped(text);
        const lxw_error failure =
            worksheet_write_string(sheet_, row_, column, ended.c_str(), nullptr);
        if (failure == LXW_ERROR_MAX_STRING_LENGTH_EXCEEDED) {
            throw job_failure("unrepresentable",
                              "row " + std::to_string(row_ + 1) + " has in \"" +
                                  columns_[column].name +
                                  "\" a text of more than 32,767 characters, which XLSX cannot "
                                  "hold");
        }
        if (failure != LXW_NO_ERROR) {
            throw error(errc::system_failed,
                        std::string("the XLSX file cannot be written: ") + lxw_strerror(failure));
        }
    }

    const std::vector<export_column> columns_;
    std::string directory_;  // for libxlsxwriter's temporary files
    lxw_workbook* events_ = nullptr;
    lxw_worksheet* sheet_ = nullptr;
    lxw_format* dates_ = nullptr;
    lxw_format* times_ = nullptr;
    lxw_row_t row_ = 0;
};

}  // namespace

std::unique_ptr<row_writer> make_xlsx_writer(const std::filesystem::path& file,
                                             std::vector<export_column> columns) {
    return std::make_unique<xlsx_writer>(file, std::move(columns));
}

}  // namespace bitdotio
