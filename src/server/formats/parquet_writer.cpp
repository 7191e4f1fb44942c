// Writes Parquet: row groups of plain pages, described in Thrift's compact form.
#include "server/formats/export_values.hpp"
#include "server/formats/file_output.hpp"
#include "server/formats/job_failure.hpp"
#include "server/formats/row_writer.hpp"
#include "server/formats/thrift_writer.hpp"

#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <utility>

namespace bitdotio {

namespace {

// Numbers from parquet.thrift.
enum class physical { boolean = 0, int32 = 1, int64 = 2, float_ = 4, double_ = 5, bytes = 6 };
enum class meaning { none, text, date, timestamp, timestamp_utc, json };

// The most that memory holds before it is written: a row group's bytes and rows.
constexpr std::size_t group_bytes = 32 * 1024 * 1024;
constexpr std::uint64_t group_rows = 128 * 1024;

static_assert(std::endian::native == std::endian::little, "Parquet's numbers are little-endian");

struct form {
    physical type = physical::bytes;
    meaning says = meaning::text;
};

form form_of(oid type) {
    switch (type) {
        case oids::boolean: return {physical::boolean, meaning::none};
        case oids::int2:
        case oids::int4: return {physical::int32, meaning::none};
        case oids::int8:
        case oids::oid_: return {physical::int64, meaning::none};
        case oids::float4: return {physical::float_, meaning::none};
        case oids::float8: return {physical::double_, meaning::none};
        case oids::date: return {physical::int32, meaning::date};
        case oids::timestamp: return {physical::int64, meaning::timestamp};
        case oids::timestamptz: return {physical::int64, meaning::timestamp_utc};
        case oids::json:
        case oids::jsonb: return {physical::bytes, meaning::json};
        case oids::bytea: return {physical::bytes, meaning::none};
        default: return {physical::bytes, meaning::text};  // numeric too: it may have any scale
    }
}

template <class Number>
void append_number(std::string& out, Number value) {
    char octets[sizeof value];
    std::memcpy(octets, &value, sizeof value);
    out.append(octets, sizeof octets);
}

/// The values of one column in the current row group.
class column {
public:
    explicit column(export_column about)
        : name_(std::move(about.name)), type_(about.type), form_(form_of(about.type)) {}

    const std::string& name() const { return name_; }
    const form& shape() const { return form_; }
    std::size_t size() const { return values_.size(); }

    /// Adds a value; false if the column cannot hold it.
    bool add(const std::optional<std::string_view>& value) {
        add_level(value.has_value());
        if (!value) return true;
        switch (form_.type) {
            case physical::boolean: add_bit(*value == "t"); return true;
            case physical::int32:
                return form_.says == meaning::date ? add_date(*value) : add<std::int32_t>(*value);
            case physical::int64:
                return form_.says == meaning::none ? add<std::int64_t>(*value)
                                                   : add_timestamp(*value);
            case physical::float_: return add<float>(*value);
            case physical::double_: return add<double>(*value);
            case physical::bytes: break;
        }
        if (type_ == oids::bytea) return add_bytea(*value);
        append_number(values_, static_cast<std::uint32_t>(value->size()));
        values_.append(*value);
        return true;
    }

    /// Takes levels and values as the content of a page; empties the column.
    std::string take_page(std::uint64_t rows) {
        // One bit-packed run of the hybrid form: eight rows per octet.
        std::string run;
        thrift_writer::append_varint(run, (((rows + 7) / 8) << 1) | 1);
        run += levels_;
        std::string page;
        append_number(page, static_cast<std::uint32_t>(run.size()));
        page += run;
        page += values_;
        values_.clear();
        levels_.clear();
        level_count_ = 0;
        bit_count_ = 0;
        return page;
    }

private:
    void add_level(bool defined) {
        if (level_count_ % 8 == 0) levels_.push_back(0);
        if (defined) levels_.back() = static_cast<char>(levels_.back() | 1 << level_count_ % 8);
        ++level_count_;
    }

    void add_bit(bool value) {
        if (bit_count_ % 8 == 0) values_.push_back(0);
        if (value) values_.back() = static_cast<char>(values_.back() | 1 << bit_count_ % 8);
        ++bit_count_;
    }

    template <class Number>
    bool add(std::string_view text) {
        Number value{};
        const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
        if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return false;
        append_number(values_, value);
        return true;
    }

    bool add_date(std::string_view text) {
        const auto date = read_date(text);
        if (!date) return false;
        append_number(values_, static_cast<std::int32_t>(days_since_1970(*date)));
        return true;
    }

    bool add_timestamp(std::string_view text) {
        const auto time = read_timestamp(text);
        constexpr std::int64_t day = 86'400'000'000;
        std::int64_t value = 0;
        if (!time || __builtin_mul_overflow(days_since_1970(time->date), day, &value) ||
            __builtin_add_overflow(value, time->microseconds, &value)) {
            return false;
        }
        append_number(values_, value);
        return true;
    }

    // "\x" and hexadecimal digits.
    bool add_bytea(std::string_view text) {
        if (!text.starts_with("\\x") || text.size() % 2 != 0) return false;
        text.remove_prefix(2);
        append_number(values_, static_cast<std::uint32_t>(text.size() / 2));
        for (std::size_t i = 0; i < text.size(); i += 2) {
            unsigned char octet = 0;
            std::from_chars(text.data() + i, text.data() + i + 2, octet, 16);
            values_.push_back(static_cast<char>(octet));
        }
        return true;
    }

    const std::string name_;
    const oid type_;
    const form form_;
    std::string values_;
    std::string levels_;
    std::uint64_t level_count_ = 0;
    std::uint64_t bit_count_ = 0;
};

/// See: the Parquet format's own description, parquet.thrift and Encodings.md.
class parquet_writer final : public row_writer {
public:
    parquet_writer(const std::filesystem::path& file, std::vector<export_column> columns)
        : file_(file) {
        for (export_column& each : columns)
            columns_.emplace_back(std::move(each));
        file_.write("PAR1");
    }

    void write(const export_row& row) override {
        std::size_t bytes = 0;
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            if (!columns_[i].add(row[i])) {
                throw job_failure("unrepresentable", "row " + std::to_string(rows_ + waiting_ + 1) +
                                                         " has in \"" + columns_[i].name() +
                                                         "\" the value " +
                                                         std::string(row[i].value_or("NULL")) +
                                                         ", for which Parquet has no form");
            }
            bytes += columns_[i].size();
        }
        ++waiting_;
        if (waiting_ == group_rows || bytes >= group_bytes) write_group();
    }

    void finish() override {
        if (waiting_ > 0) write_group();
        const std::string description = describe();
        file_.write(description);
        std::string size;
        append_number(size, static_cast<std::uint32_t>(description.size()));
        file_.write(size + "PAR1");
        file_.finish();
    }

private:
    struct chunk {
        std::uint64_t offset = 0;
        std::uint64_t size = 0;
    };
    struct group {
        std::vector<chunk> chunks;
        std::uint64_t rows = 0;
    };

    void write_group() {
        group written;
        written.rows = waiting_;
        for (column& each : columns_) {
            const std::string page = each.take_page(waiting_);
            thrift_writer header;
            header.enumerator(1, 0);  // a data page
            header.i32(2, page.size());
            header.i32(3, page.size());
            header.begin_struct(5);
            header.i32(1, waiting_);
            header.enumerator(2, 0);  // PLAIN
            header.enumerator(3, 3);  // levels in the hybrid of runs and bits
            header.enumerator(4, 3);
            header.end_struct();
            header.end_struct();
            chunk one;
            one.offset = file_.size();
            one.size = header.bytes().size() + page.size();
            file_.write(header.bytes());
            file_.write(page);
            written.chunks.push_back(one);
        }
        groups_.push_back(std::move(written));
        rows_ += std::exchange(waiting_, 0);
    }

    std::string describe() const {
        thrift_writer meta;
        meta.i32(1, 1);
        meta.begin_list(2, thrift_writer::struct_, columns_.size() + 1);
        meta.begin_element();
        meta.binary(4, "schema");
        meta.i32(5, columns_.size());
        meta.end_struct();
        for (const column& each : columns_)
            describe(meta, each);
        meta.i64(3, rows_);
        meta.begin_list(4, thrift_writer::struct_, groups_.size());
        for (const group& each : groups_)
            describe(meta, each);
        meta.binary(6, "bitdotio for C++");
        meta.end_struct();
        return meta.bytes();
    }

    static void describe(thrift_writer& meta, const column& about) {
        meta.begin_element();
        meta.enumerator(1, static_cast<int>(about.shape().type));
        meta.enumerator(3, 1);  // OPTIONAL
        meta.binary(4, about.name());
        // The older description, then the newer; a local timestamp has no older one.
        switch (about.shape().says) {
            case meaning::none: break;
            case meaning::text:
                meta.enumerator(6, 0);
                describe_meaning(meta, 1);
                break;
            case meaning::date:
                meta.enumerator(6, 6);
                describe_meaning(meta, 6);
                break;
            case meaning::json:
                meta.enumerator(6, 19);
                describe_meaning(meta, 12);
                break;
            case meaning::timestamp_utc:
                meta.enumerator(6, 10);
                describe_timestamp(meta, true);
                break;
            case meaning::timestamp: describe_timestamp(meta, false); break;
        }
        meta.end_struct();
    }

    static void describe_meaning(thrift_writer& meta, int which) {
        meta.begin_struct(10);
        meta.begin_struct(which);
        meta.end_struct();
        meta.end_struct();
    }

    static void describe_timestamp(thrift_writer& meta, bool utc) {
        meta.begin_struct(10);
        meta.begin_struct(8);
        meta.boolean(1, utc);
        meta.begin_struct(2);
        meta.begin_struct(2);  // microseconds
        meta.end_struct();
        meta.end_struct();
        meta.end_struct();
        meta.end_struct();
    }

    void describe(thrift_writer& meta, const group& about) const {
        std::uint64_t total = 0;
        meta.begin_element();
        meta.begin_list(1, thrift_writer::struct_, columns_.size());
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            const chunk& one = about.chunks[i];
            total += one.size;
            meta.begin_element();
            meta.i64(2, one.offset);
            meta.begin_struct(3);
            meta.enumerator(1, static_cast<int>(columns_[i].shape().type));
            meta.begin_list(2, thrift_writer::i32_, 2);
            meta.element(0);
            meta.element(3);
            meta.begin_list(3, thrift_writer::binary_, 1);
            meta.element(columns_[i].name());
            meta.enumerator(4, 0);  // uncompressed
            meta.i64(5, about.rows);
            meta.i64(6, one.size);
            meta.i64(7, one.size);
            meta.i64(9, one.offset);
            meta.end_struct();
            meta.end_struct();
        }
        meta.i64(2, total);
        meta.i64(3, about.rows);
        meta.end_struct();
    }

    file_output file_;
    std::vector<column> columns_;
    std::vector<group> groups_;
    std::uint64_t rows_ = 0;
    std::uint64_t waiting_ = 0;  // in the current row group
};

}  // namespace

std::unique_ptr<row_writer> make_parquet_writer(const std::filesystem::path& file,
                                                std::vector<export_column> columns) {
    return std::make_unique<parquet_writer>(file, std::move(columns));
}

}  // namespace bitdotio
