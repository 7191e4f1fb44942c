// Reads XLS with FreeXL, which keeps the whole file in memory.
#include "server/formats/sheet_reader.hpp"
#include "server/formats/utf8.hpp"

#include <bitdotio/error.hpp>

#include <freexl.h>

#include <charconv>
#include <cmath>

namespace bitdotio {

namespace {

// The format's own limits, 65,536 rows of 256 columns, seldom lead to more.
constexpr std::uintmax_t largest_file = 128 * 1024 * 1024;
constexpr unsigned most_rows = 65'536;

struct workbook {
    const void* handle = nullptr;

    ~workbook() {
        if (handle) freexl_close(handle);
    }

    void select(unsigned sheet) {
        if (freexl_select_active_worksheet(handle, static_cast<unsigned short>(sheet)) !=
            FREEXL_OK) {
            throw error(errc::bad_input, "the XLS file is damaged: a sheet cannot be read");
        }
    }
};

// Whether a file of Microsoft's container format has a stream of that name.
bool has_stream(const input_file& file, std::string_view name) {
    std::string wide;
    for (const char c : name) {
        wide.push_back(c);
        wide.push_back('\0');
    }
    constexpr std::size_t piece = 1024 * 1024;
    std::string text(piece, '\0');
    for (std::uint64_t at = 0; at < file.size(); at += piece - wide.size()) {
        const std::size_t got = file.read_at(at, text.data(), piece);
        if (std::string_view(text).substr(0, got).find(wide) != std::string_view::npos) return true;
    }
    return false;
}

// Says what a file is that is no XLS file, although it begins like one.
error no_workbook(const input_file& file, const std::string& otherwise) {
    if (has_stream(file, "EncryptedPackage")) {
        return error(errc::bad_input, "the file is encrypted: save it without a password");
    }
    if (has_stream(file, "WordDocument")) {
        return error(errc::bad_input, "the file is a Word document, not a workbook");
    }
    return error(errc::bad_input, otherwise);
}

class xls_reader final : public sheet_reader {
public:
    xls_reader(std::shared_ptr<workbook> whole, unsigned sheet, std::string name, header_row header)
        : sheet_reader(std::move(name), header), events_(std::move(whole)), sheet_(sheet) {
        events_->select(sheet_);
        freexl_worksheet_dimensions(events_->handle, &rows_, &columns_);
        if (columns_ > most_columns || rows_ > most_rows) {
            throw error(errc::bad_input,
                        "the XLS file is damaged: a sheet has more than 65,536 rows or 1,600 "
                        "columns");
        }
    }

private:
    bool next_row(cells& row) override {
        if (at_ >= rows_) return false;
        events_->select(sheet_);
        row.resize(columns_);
        for (unsigned short i = 0; i < columns_; ++i) {
            FreeXL_CellValue value{};
            row[i].clear();
            if (freexl_get_cell_value(events_->handle, at_, i, &value) == FREEXL_OK) {
                take(row[i], value);
            }
        }
        ++at_;
        return true;
    }

    std::uint64_t number() const override { return at_; }

    void take(cell& into, const FreeXL_CellValue& from) {
        char text[32];
        switch (from.type) {
            case FREEXL_CELL_INT: {
                const auto end = std::to_chars(text, text + sizeof text, from.value.int_value).ptr;
                into.set(cell_kind::number, std::string_view(text, end));
                break;
            }
            case FREEXL_CELL_DOUBLE: {
                const double number = from.value.double_value;
                if (!std::isfinite(number)) break;
                const auto end = std::to_chars(text, text + sizeof text, number).ptr;
                into.set(cell_kind::number, std::string_view(text, end));
                break;
            }
            case FREEXL_CELL_TEXT:
            case FREEXL_CELL_SST_TEXT:
            case FREEXL_CELL_DATE:
            case FREEXL_CELL_DATETIME:
                if (!from.value.text_value || !*from.value.text_value) break;
                into.set(cell_kind::text, from.value.text_value);
                break;
            case FREEXL_CELL_TIME:
                if (from.value.text_value) into.set(cell_kind::literal, from.value.text_value);
                break;
            default: break;
        }
        if (is_too_long_for_sheet(into.text)) {
            throw error(errc::bad_input, place() + " has a text of more than 32,767 characters");
        }
        if (!is_text(into.text)) throw error(errc::bad_input, place() + " is not UTF-8");
    }

    const std::shared_ptr<workbook> events_;
    const unsigned sheet_;
    unsigned rows_ = 0;
    unsigned short columns_ = 0;
    unsigned at_ = 0;
};

}  // namespace

std::vector<table_source> open_xls(input_handle file, header_row header) {
    if (file->size() > largest_file) {
        throw error(errc::bad_input, "the XLS file is larger than 128 MiB: save it as XLSX");
    }
    const auto whole = std::make_shared<workbook>();
    // FreeXL opens by name only.
    const std::string name_of_open_file = "/proc/self/fd/" + std::to_string(file->descriptor());
    const int opened = freexl_open(name_of_open_file.c_str(), &whole->handle);
    if (opened != FREEXL_OK) {
        throw no_workbook(*file,
                          "the file cannot be read as XLS (code " + std::to_string(opened) + ")");
    }
    unsigned password = 0;
    freexl_get_info(whole->handle, FREEXL_BIFF_PASSWORD, &password);
    if (password == FREEXL_BIFF_OBFUSCATED) {
        throw error(errc::bad_input, "the XLS file is encrypted");
    }
    unsigned sheets = 0;
    freexl_get_info(whole->handle, FREEXL_BIFF_SHEET_COUNT, &sheets);
    if (sheets == 0) throw no_workbook(*file, "the XLS file has no sheets");
    if (sheets > most_sheets) {
        throw error(errc::bad_input, "the XLS file has more than 256 sheets");
    }
    std::vector<table_source> tables;
    for (unsigned i = 0; i < sheets; ++i) {
        const char* name = nullptr;
        freexl_get_worksheet_name(whole->handle, static_cast<unsigned short>(i), &name);
        table_source table;
        table.name = name ? name : "";
        table.open = [whole, i, name = table.name, header] {
            return open_sheet(header, [&](header_row how) {
                return std::make_unique<xls_reader>(whole, i, name, how);
            });
        };
        tables.push_back(std::move(table));
    }
    return with_content(std::move(tables));
}

}  // namespace bitdotio
