// Writes Thrift's compact protocol, as far as Parquet's descriptions need it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio {

/// Writes one struct, field by field, by their numbers in ascending order.
///
/// See: "Thrift compact protocol encoding", in Apache Thrift's documentation.
class thrift_writer {
public:
    enum type : std::uint8_t {
        true_ = 1,
        false_ = 2,
        i32_ = 5,
        i64_ = 6,
        binary_ = 8,
        list_ = 9,
        struct_ = 12
    };

    void i32(int field, std::uint64_t value) { number(field, i32_, value); }
    void i64(int field, std::uint64_t value) { number(field, i64_, value); }
    void enumerator(int field, int value) {
        number(field, i32_, static_cast<std::uint64_t>(value));
    }
    void boolean(int field, bool value) { header(field, value ? true_ : false_); }
    void binary(int field, std::string_view value) {
        header(field, binary_);
        element(value);
    }

    void begin_struct(int field) {
        header(field, struct_);
        begin_element();
    }
    /// Begins a struct that is an element of a list.
    void begin_element() { last_.push_back(0); }
    /// Ends a struct, also the outermost one.
    void end_struct() {
        bytes_.push_back(0);
        last_.pop_back();
    }

    /// Begins a list; its `size` elements follow.
    void begin_list(int field, type element, std::size_t size) {
        header(field, list_);
        if (size < 15) {
            bytes_.push_back(static_cast<char>(size << 4 | element));
        } else {
            bytes_.push_back(static_cast<char>(0xf0 | element));
            append_varint(bytes_, size);
        }
    }
    void element(std::string_view value) {
        append_varint(bytes_, value.size());
        bytes_.append(value);
    }
    void element(int value) { append_varint(bytes_, static_cast<std::uint64_t>(value) << 1); }

    const std::string& bytes() const noexcept { return bytes_; }

    static void append_varint(std::string& out, std::uint64_t value) {
        for (; value >= 0x80; value >>= 7)
            out.push_back(static_cast<char>(value | 0x80));
        out.push_back(static_cast<char>(value));
    }

private:
    // Nothing here is negative; zigzag forms of negative numbers would be odd.
    void number(int field, type kind, std::uint64_t value) {
        header(field, kind);
        append_varint(bytes_, value << 1);
    }

    void header(int field, type kind) {
        const int delta = field - last_.back();
        last_.back() = field;
        bytes_.push_back(static_cast<char>(delta << 4 | kind));
    }

    std::string bytes_;
    std::vector<int> last_{0};  ///< the field written last, in each struct that is open
};

}  // namespace bitdotio
