// Answers in memory and in a file without a name.
#include "server/api/answer_spool.hpp"
#include "support/child.hpp"

#include <bitdotio/error.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

namespace {

using bitdotio::answer_spool;

std::string all_of(answer_spool& spool) {
    std::string text;
    while (text.size() < spool.size()) {
        text += spool.read(text.size(), 10'000);
    }
    CHECK(spool.read(text.size(), 10) == "");
    return text;
}

}  // namespace

TEST_CASE("a short answer stays in memory") {
    const test::temporary_directory directory;
    answer_spool spool(directory.path(), 1'000'000);
    CHECK_FALSE(spool.may_block(answer_spool::in_memory));
    CHECK(spool.may_block(answer_spool::in_memory + 1));
    spool.write("a");
    spool.clear();
    spool.write("bc");
    CHECK(spool.is_in_memory());
    CHECK(spool.size() == 2);
    CHECK(all_of(spool) == "bc");
    CHECK(spool.take_memory() == "bc");
}

TEST_CASE("a longer answer is in a file that nobody sees, and can be begun again") {
    const test::temporary_directory directory;
    answer_spool spool(directory.path(), 1'000'000);
    std::string text;
    for (int i = 0; i < 50'000; ++i)
        text += std::to_string(i) + ",";
    for (std::size_t at = 0; at < text.size(); at += 1'000)
        spool.write(std::string_view(text).substr(at, 1'000));
    CHECK_FALSE(spool.is_in_memory());
    CHECK(spool.size() == text.size());
    CHECK(all_of(spool) == text);
    CHECK(std::filesystem::is_empty(directory.path()));
    spool.clear();
    CHECK(spool.size() == 0);
    spool.write("again");
    CHECK(all_of(spool) == "again");
}

TEST_CASE("an answer is no longer than its limit, which the error names") {
    const test::temporary_directory directory;
    answer_spool spool(directory.path(), 100);
    spool.write(std::string(100, 'x'));
    std::string words;
    try {
        spool.write("x");
    } catch (const bitdotio::error& failure) {
        CHECK(failure.code() == bitdotio::errc::result_too_large);
        words = failure.what();
    }
    CHECK(words.find("longer than 100 bytes") != std::string::npos);
}

TEST_CASE("answers on disk have room together, which each gives back at its end") {
    const test::temporary_directory directory;
    const auto room = std::make_shared<bitdotio::answer_budget>(200'000);
    const std::string piece(50'000, 'x');
    answer_spool first(directory.path(), 1'000'000, room);
    {
        answer_spool second(directory.path(), 1'000'000, room);
        for (answer_spool* each : {&first, &second}) {
            each->write(piece);
            CHECK(each->is_in_memory());
            each->write(piece);
            each->write(piece);
        }
        CHECK(room->used() == 200'000);
        std::string said;
        try {
            second.write(piece);
        } catch (const bitdotio::error& full) {
            CHECK(full.code() == bitdotio::errc::server_busy);
            said = full.what();
        }
        CHECK(said.find("200000 bytes together") != std::string::npos);
        answer_spool third(directory.path(), 1'000'000, room);
        third.write(piece);  // in memory
        CHECK(third.is_in_memory());
    }
    CHECK(room->used() == 100'000);
    first.write(piece);
    CHECK(room->used() == 150'000);
    first.clear();
    CHECK(room->used() == 0);
    first.write(std::string(60'000, 'y'));
    CHECK(room->used() == 0);
    // One that is larger than all the room.
    answer_spool large(directory.path(), 1'000'000, room);
    large.write(std::string(300'000, 'z'));
    CHECK_THROWS_AS(large.write("z"), bitdotio::error);
    CHECK(room->used() == 0);
}
