// The records of an XLS file's stream, and texts that go on in further ones.
#pragma once

#include "server/formats/xls_bytes.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitdotio {

/// Kinds of records, as the format calls them. See: [MS-XLS] 2.3.2.
enum class xls_kind : std::uint16_t {
    formula = 0x0006,
    end = 0x000a,
    date_mode = 0x0022,
    file_pass = 0x002f,
    continued = 0x003c,
    code_page = 0x0042,
    bound_sheet = 0x0085,
    mul_rk = 0x00bd,
    rich_string = 0x00d6,
    cell_style = 0x00e0,
    shared_strings = 0x00fc,
    label_of_shared = 0x00fd,
    number = 0x0203,
    label = 0x0204,
    bool_or_error = 0x0205,
    string = 0x0207,
    array = 0x0221,
    data_table = 0x0236,
    rk = 0x027e,
    number_format = 0x041e,
    shared_formula = 0x04bc,
    begin = 0x0809,
    begin_of_biff2 = 0x0009,
    begin_of_biff3 = 0x0209,
    begin_of_biff4 = 0x0409,
};

struct xls_record {
    xls_kind kind = xls_kind::end;
    std::string_view data;
    std::size_t place = 0;  ///< in the stream
};

/// Reads records one after the other.
///
/// Lifetime: the stream outlives it.
class xls_records {
public:
    xls_records(std::string_view stream, std::size_t at) : stream_(stream), at_(at) {}

    /// The next record.
    ///
    /// Errors: errc::bad_input if the stream ends before it, or within it.
    xls_record next() {
        xls_record found;
        if (at_ >= stream_.size()) throw malformed_xls("it ends before a sheet does");
        found.kind = static_cast<xls_kind>(number_at<std::uint16_t>(stream_, at_));
        const std::size_t size = number_at<std::uint16_t>(stream_, at_ + 2);
        found.place = at_;
        if (stream_.size() - at_ - 4 < size) throw malformed_xls("it ends within a record");
        found.data = stream_.substr(at_ + 4, size);
        at_ += 4 + size;
        return found;
    }

    /// Whether the next record continues the one before.
    bool goes_on() const {
        return at_ < stream_.size() && stream_.size() - at_ >= 4 &&
               static_cast<xls_kind>(number_at<std::uint16_t>(stream_, at_)) == xls_kind::continued;
    }

private:
    const std::string_view stream_;
    std::size_t at_;
};

/// The data of a record and of those that continue it.
///
/// Errors: errc::bad_input if it ends before what is read.
class xls_data {
public:
    /// Parameters: `records` stands after the record whose data it is, and goes on with it.
    xls_data(xls_records& records, std::string_view data) : records_(records), rest_(data) {}

    bool at_end() {
        while (rest_.empty() && records_.goes_on())
            rest_ = records_.next().data;
        return rest_.empty();
    }

    std::uint8_t octet() {
        if (at_end()) throw malformed_xls("a text ends too early");
        const auto first = static_cast<std::uint8_t>(rest_.front());
        rest_.remove_prefix(1);
        return first;
    }
    std::uint16_t short_number() {
        const unsigned low = octet();
        return static_cast<std::uint16_t>(low | unsigned{octet()} << 8);
    }
    std::uint32_t number() {
        const std::uint32_t low = short_number();
        return low | std::uint32_t{short_number()} << 16;
    }

    void skip(std::uint64_t count);

    /// Reads a text of so many characters, which begins with its flags, and what belongs to it: the
    /// letters' formats and how they are spoken are passed over.
    std::string text(std::size_t characters);

    /// Reads bytes of a code page, as older files have them.
    ///
    /// Parameters: `code_page` 1252, or any if all are ASCII.
    std::string old_text(std::size_t characters, unsigned code_page);

private:
    xls_records& records_;
    std::string_view rest_;
};

}  // namespace bitdotio
