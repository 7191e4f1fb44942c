// What is read by the plan of a result is what its fields read as, errors included.
#include "postgres/libpq.hpp"
#include "postgres/row_batch.hpp"

#include <bitdotio/calendar.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/row_stream.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

using namespace bitdotio;

namespace {

using value = std::optional<std::string>;

struct one_column {
    oid type;
    bool binary;
};

// A row of these values in these columns, named "c0", "c1", …
libpq::result row_of(const std::vector<one_column>& columns, const std::vector<value>& values) {
    libpq::result made(PQmakeEmptyPGresult(nullptr, PGRES_SINGLE_TUPLE));
    std::vector<std::string> names;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        names.push_back("c" + std::to_string(i));
    }
    std::vector<PGresAttDesc> described;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        described.push_back(
            {names[i].data(), 0, 0, columns[i].binary ? 1 : 0, columns[i].type, -1, -1});
    }
    PQsetResultAttrs(made.get(), static_cast<int>(columns.size()), described.data());
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::string octets = values[i].value_or("");
        PQsetvalue(made.get(), 0, static_cast<int>(i), values[i] ? octets.data() : nullptr,
                   values[i] ? static_cast<int>(octets.size()) : -1);
    }
    return made;
}

template <class T>
std::string shown(const T& read) {
    if constexpr (wire::is_optional<T>) {
        return read ? "some " + shown(*read) : "none";
    } else if constexpr (std::is_same_v<T, bytes>) {
        return std::to_string(read.size()) + " octets";
    } else {
        std::ostringstream text;
        text.precision(17);
        if constexpr (std::is_integral_v<T> && sizeof(T) == 1) {
            text << static_cast<int>(read);
        } else {
            text << read;
        }
        return text.str();
    }
}

template <class Read>
std::string said(Read read) {
    try {
        return shown(read());
    } catch (const error& failure) {
        return std::string(failure.what());
    }
}

// As result, as row, and as a row of a stream.
template <class T>
void check_reads_alike(const one_column& column, const value& octets) {
    CAPTURE(wire::cpp_name<T>());
    const result made(row_of({column}, {octets}).release());
    const std::string expected = said([&]() -> T { return made[0][0].as<T>(); });
    CHECK(said([&] { return made[0].as<T>(); }) == expected);
    CHECK(said([&] { return std::get<0>(made.rows_as<std::tuple<T>>().at(0)); }) == expected);
    libpq::result row = row_of({column}, {octets});
    const auto columns = std::make_shared<const row_columns>(row.get(), nullptr);
    row_batch batch;
    batch.add(row, columns);
    const row_chunk chunk(batch.rows());
    CHECK(said([&] { return chunk[0][0].as<T>(); }) == expected);
    CHECK(said([&] { return chunk[0].as<T>(); }) == expected);
    CHECK(said([&]() -> T { return chunk.rows_as<T>().at(0); }) == expected);
}

template <class T>
void check_both(const one_column& column, const value& octets) {
    check_reads_alike<T>(column, octets);
    check_reads_alike<std::optional<T>>(column, octets);
}

value octets(std::initializer_list<int> each) {
    std::string all;
    for (const int one : each) {
        all.push_back(static_cast<char>(one));
    }
    return all;
}

// As a stream takes rows in: one by one.
row_chunk chunk_of(row_batch& batch, const std::vector<one_column>& columns,
                   const std::vector<std::vector<value>>& rows) {
    std::shared_ptr<const row_columns> shared;
    for (const std::vector<value>& one : rows) {
        libpq::result row = row_of(columns, one);
        if (!shared) {
            shared = std::make_shared<const row_columns>(row.get(), nullptr);
        }
        batch.add(row, shared);
    }
    return row_chunk(batch.rows());
}

}  // namespace

TEST_CASE("a plan reads what the fields read, and fails as they fail") {
    const std::vector<oid> types = {
        oids::boolean, oids::int2,    oids::int4,  oids::int8,        oids::oid_,
        oids::float4,  oids::float8,  oids::text,  oids::varchar,     oids::char_,
        oids::json,    oids::jsonb,   oids::bytea, oids::numeric,     oids::uuid,
        oids::date,    oids::unknown, 20'000,      oids::unspecified, oids::timestamptz};
    const std::vector<value> values = {
        std::nullopt,
        "",
        "t",
        "f",
        "7",
        "-7",
        "300",
        "2.5",
        "NaN",
        "some text",
        octets({0}),
        octets({1}),
        octets({0xff, 0xff}),
        octets({0x7f, 0xff}),
        octets({0, 0, 1, 0}),
        octets({0xff, 0xff, 0xff, 0xff}),
        octets({0x40, 0x20, 0, 0}),
        octets({0, 0, 0, 1, 0, 0, 0, 0}),
        octets({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe}),
        octets({0x7f, 0xf0, 0, 0, 0, 0, 0, 0}),
        octets({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}),
        "a text that does not fit into a string itself, and has ünïcode in it"};
    for (const oid type : types) {
        for (const bool binary : {true, false}) {
            for (const value& one : values) {
                CAPTURE(type);
                CAPTURE(binary);
                CAPTURE(one.value_or("NULL"));
                const one_column column{type, binary};
                check_both<bool>(column, one);
                check_both<std::int8_t>(column, one);
                check_both<std::int16_t>(column, one);
                check_both<std::int32_t>(column, one);
                check_both<std::int64_t>(column, one);
                check_both<std::uint8_t>(column, one);
                check_both<std::uint32_t>(column, one);
                check_both<std::uint64_t>(column, one);
                check_both<float>(column, one);
                check_both<double>(column, one);
                check_both<char>(column, one);
                check_both<std::string>(column, one);
                check_both<std::string_view>(column, one);
                check_both<bytes>(column, one);
                check_both<uuid>(column, one);
            }
        }
    }
}

TEST_CASE("what the session knows of a type makes its text be read where it lies") {
    const auto types = std::make_shared<wire::known_types>();
    wire::known_type citext;
    citext.name = "citext";
    citext.is_text = true;
    types->add(20'000, citext);
    libpq::result row = row_of({{20'000, true}, {20'001, true}}, {"a\001b", "a\001b"});
    const auto columns = std::make_shared<const row_columns>(row.get(), types);
    CHECK(columns->shape().columns[0].how == wire::form::text);
    CHECK(columns->shape().columns[1].how == wire::form::other);
    row_batch batch;
    batch.add(row, columns);
    const row_chunk chunk(batch.rows());
    CHECK(chunk[0][0].as<std::string>() == "a\001b");
    const auto both = [&] { return chunk.rows_as<std::tuple<std::string, std::string>>().size(); };
    CHECK_THROWS_AS(both(), error);
}

TEST_CASE("errors of a chunk name the row, the columns and the shape") {
    row_batch batch;
    const row_chunk chunk = chunk_of(batch, {{oids::int4, true}, {oids::text, true}},
                                     {{octets({0, 0, 0, 1}), "a"}, {octets({0, 0, 0, 2}), {}}});
    using pair = std::tuple<int, std::string>;
    CHECK(said([&] { return chunk.rows_as<pair>().size(); }) ==
          "column \"c1\" (text) is NULL in row 1, which does not read as " +
              std::string(wire::cpp_name<std::string>()) + "; read it as a std::optional");
    CHECK(said([&] { return chunk.rows_as<int>().size(); }) ==
          "a row has 2 columns, the C++ type 1");
    CHECK(said([&] { return chunk[2].size(); }) ==
          "there is no row 2 in a chunk of 2; they count from 0");
    CHECK(said([&] { return chunk[0]["c2"].is_null(); }) ==
          "no column \"c2\"; the columns are \"c0\", \"c1\"");
    CHECK(chunk[1]["c1"].is_null());
    CHECK(chunk[1]["c0"].as<int>() == 2);
    CHECK(row_chunk().rows_as<pair>().empty());
}

TEST_CASE("rows of any size lie in a batch as they came") {
    const std::vector<one_column> columns = {{oids::text, true}, {oids::text, true}};
    std::vector<std::vector<value>> rows;
    for (const std::size_t size : {0, 1, 3, 4, 7, 8, 9, 100, 4'000, 4'095, 4'096, 20'000, 300}) {
        rows.push_back({std::string(size, 'x'), std::nullopt});
        rows.push_back({"small", std::string(size, 'y')});
    }
    row_batch batch;
    for (int time = 0; time < 3; ++time) {
        const row_chunk chunk = chunk_of(batch, columns, rows);
        REQUIRE(chunk.size() == rows.size());
        for (std::size_t row = 0; row < rows.size(); ++row) {
            for (std::size_t column = 0; column < 2; ++column) {
                const field_view field = chunk[row][column];
                CHECK(field.is_null() == !rows[row][column].has_value());
                CHECK(field.data() == rows[row][column].value_or(""));
                CHECK(field.data().data()[field.data().size()] == '\0');
            }
        }
        batch.clear();
        CHECK(batch.is_empty());
    }
}

TEST_CASE("a batch is full at its bound, whether its rows are small, large or empty") {
    for (const std::size_t size : {0, 4, 3'000, 100'000}) {
        CAPTURE(size);
        row_batch batch;
        std::shared_ptr<const row_columns> columns;
        while (!batch.is_full() && batch.size() < 100'000) {
            libpq::result row = row_of({{oids::text, true}},
                                       {size == 0 ? std::nullopt : value(std::string(size, 'x'))});
            if (!columns) {
                columns = std::make_shared<const row_columns>(row.get(), nullptr);
            }
            batch.add(row, columns);
        }
        CHECK(batch.is_full());
        const std::size_t row_at_least = size + sizeof(wire::cell);
        CHECK(batch.size() <= row_batch::most_octets / row_at_least + 1);
        CHECK(batch.size() >= row_batch::most_octets / (2 * row_at_least + 3'000));
    }
}

TEST_CASE("a piece of many rows is kept, and rows are taken from its front") {
    libpq::result piece = row_of({{oids::text, true}}, {"a"});
    for (int row = 1; row < 5; ++row) {
        char letter = static_cast<char>('a' + row);
        PQsetvalue(piece.get(), row, 0, &letter, 1);
    }
    const auto columns = std::make_shared<const row_columns>(piece.get(), nullptr);
    const auto batch = std::make_shared<row_batch>();
    batch->add(piece, columns);
    wire::row_span rest = batch->rows();
    rest.owner = batch;
    const auto texts = [](const row_chunk& chunk) {
        std::string all;
        for (const std::string& one : chunk.rows_as<std::string>()) {
            all += one;
        }
        return all;
    };
    const row_chunk first(rest.take(2));
    CHECK(texts(first) == "ab");
    CHECK(rest.size == 3);
    rest.drop_first();
    row_chunk last(rest.take(9));
    CHECK(texts(last) == "de");
    CHECK(rest.size == 0);
    CHECK(rest.owner == nullptr);
    const row_chunk moved(std::move(last));
    CHECK(texts(moved) == "de");
    CHECK(last.size() == 0);
    CHECK(said([&] { return last[0].size(); }) ==
          "there is no row 0 in a chunk of 0; they count from 0");
}

TEST_CASE("the memory of a batch is used again once nobody reads it") {
    const auto spare = std::make_shared<spare_batch>();
    std::shared_ptr<row_batch> first = spare_batch::take(spare);
    row_batch* const memory = first.get();
    const std::shared_ptr<row_batch> second = spare_batch::take(spare);
    CHECK(second.get() != memory);
    libpq::result row = row_of({{oids::text, true}}, {"a"});
    const auto columns = std::make_shared<const row_columns>(row.get(), nullptr);
    first->add(row, columns);
    first.reset();
    const std::shared_ptr<row_batch> third = spare_batch::take(spare);
    CHECK(third.get() == memory);
    CHECK(third->is_empty());
}
