// Whose stream is open, and how its rows are portioned.
#include "postgres/open_stream.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace bitdotio;
using namespace std::chrono_literals;
using kind = open_stream::kind;

namespace {

// A piece with a column of text and these rows.
libpq::result piece(const std::vector<std::string>& rows) {
    libpq::result made(PQmakeEmptyPGresult(nullptr, PGRES_SINGLE_TUPLE));
    char name[] = "a";
    PGresAttDesc column{name, 0, 0, 0, oids::text, -1, -1};
    PQsetResultAttrs(made.get(), 1, &column);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        std::string value = rows[i];
        PQsetvalue(made.get(), static_cast<int>(i), 0, value.data(),
                   static_cast<int>(value.size()));
    }
    return made;
}

std::string texts(const std::vector<result>& parts) {
    std::string all;
    for (const result& part : parts) {
        for (const row_view row : part) {
            all += row.as<std::string>() + " ";
        }
    }
    return all;
}

}  // namespace

TEST_CASE("a stream belongs to whoever has its number, until it is abandoned or ends") {
    open_stream stream;
    CHECK_FALSE(stream.is_open());
    stream.prepare(false, 1s);
    stream.begin(kind::rows);
    const auto number = stream.number();
    CHECK(stream.is_open());
    CHECK(stream.belongs_to(kind::rows, number));
    CHECK_FALSE(stream.belongs_to(kind::copy_in, number));
    CHECK_FALSE(stream.belongs_to(kind::rows, number + 1));
    stream.abandon(number - 1);  // one that is long over
    CHECK(stream.belongs_to(kind::rows, number));
    stream.abandon(number);
    CHECK(stream.is_abandoned());
    CHECK_FALSE(stream.belongs_to(kind::rows, number));
    stream.end();
    CHECK_FALSE(stream.is_open());
    stream.prepare(false, 1s);
    CHECK(stream.number() == number + 1);
    CHECK_FALSE(stream.is_abandoned());
}

TEST_CASE("from any thread a stream is seen to be its holder's, until it is abandoned or ends") {
    open_stream stream;
    CHECK_FALSE(stream.is_held(1));
    stream.prepare(false, 1s);
    CHECK_FALSE(stream.is_held(1));
    stream.begin(kind::rows);
    CHECK(stream.is_held(1));
    stream.abandon(7);
    CHECK(stream.is_held(1));
    stream.abandon(1);
    CHECK_FALSE(stream.is_held(1));
    stream.end();
    stream.prepare(false, 1s);
    stream.begin(kind::rows);
    CHECK_FALSE(stream.is_held(1));
    CHECK(stream.is_held(2));
    stream.end();
    CHECK_FALSE(stream.is_held(2));
}

TEST_CASE("the rest is read where stopping it would end its transaction") {
    open_stream stream;
    stream.prepare(true, 0ms);
    stream.begin(kind::rows);
    CHECK(stream.must_be_drained());
    stream.begin(kind::copy_out);
    CHECK(stream.must_be_drained());
    stream.begin(kind::copy_in);
    CHECK_FALSE(stream.must_be_drained());
    stream.prepare(false, 0ms);
    stream.begin(kind::rows);
    CHECK_FALSE(stream.must_be_drained());
}

TEST_CASE("rows are asked for in pieces once, and only rows are") {
    open_stream stream;
    CHECK_FALSE(stream.asks_for_pieces());
    stream.begin(kind::rows);
    CHECK(stream.asks_for_pieces());
    CHECK_FALSE(stream.asks_for_pieces());
    stream.begin(kind::copy_out);
    CHECK_FALSE(stream.asks_for_pieces());
    stream.begin(kind::rows);
    stream.end();
    CHECK_FALSE(stream.asks_for_pieces());  // it would be the next statement that is asked
}

TEST_CASE("what is too much for a portion begins the next, and an end drops it") {
    open_stream stream;
    stream.begin(kind::rows);
    {
        std::vector<result> rows;
        open_stream::portion first(stream, rows, 3);
        CHECK(first.is_empty());
        first.add(piece({"a", "b"}));
        CHECK_FALSE(first.is_full());
        first.add(piece({"c", "d", "e"}));
        CHECK(first.is_full());
        CHECK(texts(rows) == "a b c ");
    }
    {
        std::vector<result> rows;
        open_stream::portion second(stream, rows, 1);
        CHECK(second.is_full());
        CHECK(texts(rows) == "d ");
    }
    {
        std::vector<result> rows;
        open_stream::portion third(stream, rows, 5);
        CHECK(texts(rows) == "e ");
        third.add(piece({"f", "g", "h", "i", "j"}));
        CHECK(texts(rows) == "e f g h i ");
    }
    stream.end();
    std::vector<result> rows;
    const open_stream::portion fourth(stream, rows, 5);
    CHECK(fourth.is_empty());
}
