// Points in time, from and to text.
#include "base/rfc3339.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace {

using namespace std::chrono_literals;
using bitdotio::api::decode_date;
using bitdotio::api::decode_time;
using bitdotio::api::encode_time;
using bitdotio::api::instant;
using std::chrono::sys_days;

constexpr instant example = sys_days(2024y / 5 / 6) + 7h + 8min + 9s + 123456us;

TEST_CASE("a time is written in UTC with microseconds") {
    CHECK(encode_time(example) == "2024-05-06T07:08:09.123456+00:00");
    CHECK(encode_time(instant()) == "1970-01-01T00:00:00.000000+00:00");
    CHECK(encode_time(instant(-1us)) == "1969-12-31T23:59:59.999999+00:00");
}

TEST_CASE("what is written is read back") {
    for (const instant time :
         {example, instant(), instant(-1us), instant(sys_days(9999y / 12 / 31)),
          instant(sys_days(2024y / 2 / 29) + 24h - 1us)}) {
        CAPTURE(encode_time(time));
        CHECK(decode_time(encode_time(time)) == time);
    }
}

TEST_CASE("every form of RFC 3339 is read") {
    struct row {
        std::string text;
        instant time;
    };
    const instant whole = std::chrono::floor<std::chrono::seconds>(example);
    const row table[] = {
        {"2024-05-06T07:08:09Z", whole},
        {"2024-05-06t07:08:09z", whole},
        {"2024-05-06 07:08:09Z", whole},
        {"2024-05-06T07:08:09+00:00", whole},
        {"2024-05-06T07:08:09-00:00", whole},
        {"2024-05-06T12:38:09+05:30", whole},
        {"2024-05-05T23:08:09-08:00", whole},
        {"2024-05-06T07:08:09.1Z", whole + 100ms},
        {"2024-05-06T07:08:09.123456Z", example},
        {"2024-05-06T07:08:09.123456999Z", example},
        {"2024-05-06T07:08:09.0000001Z", whole},
        {"2024-05-06T09:08:09.123456+02:00", example},
        {"2016-12-31T23:59:60Z", sys_days(2017y / 1 / 1)},
    };
    for (const row& one : table) {
        CAPTURE(one.text);
        CHECK(decode_time(one.text) == one.time);
    }
}

TEST_CASE("what is no date and time of RFC 3339 is not read") {
    for (const std::string text : {"",
                                   "now",
                                   "2024-05-06",
                                   "2024-05-06T07:08Z",
                                   "2024-05-06T07:08:09",
                                   "2024-05-06T07:08:09.Z",
                                   "2024-05-06T07:08:09.1",
                                   "2024-05-06T07:08:09+0530",
                                   "2024-05-06T07:08:09+05",
                                   "2024-05-06T07:08:09+05:3x",
                                   "2024-05-06T07:08:09+-5:30",
                                   "2024-05-06T07:08:09+24:00",
                                   "9999-12-31T23:59:59-00:01",
                                   "0000-01-01T00:00:00+00:01",
                                   "2024-05-06T07:08:09+05:60",
                                   "2024-05-06T07:08:09Z ",
                                   " 2024-05-06T07:08:09Z",
                                   "2024-05-06T07:08:09ZZ",
                                   "2024-02-30T07:08:09Z",
                                   "2023-02-29T07:08:09Z",
                                   "2024-13-06T07:08:09Z",
                                   "2024-00-06T07:08:09Z",
                                   "2024-05-06T24:08:09Z",
                                   "2024-05-06T07:60:09Z",
                                   "2024-05-06T07:08:61Z",
                                   "2024-05-06T-7:08:09Z",
                                   "2024-05-06T07:-8:09Z",
                                   "2024-05-06T07:08:-9Z",
                                   "2024-5-6T7:8:9Z",
                                   "-024-05-06T07:08:09Z",
                                   "24-05-06T07:08:09Z",
                                   "2024/05/06T07:08:09Z",
                                   "2024-05-06x07:08:09Z",
                                   "2024-05-06T07.08.09Z"}) {
        CAPTURE(text);
        CHECK_FALSE(decode_time(text));
    }
}

TEST_CASE("a date alone is read as its first moment in UTC") {
    CHECK(decode_date("2024-05-06") == sys_days(2024y / 5 / 6));
    CHECK(decode_date("2024-02-29") == sys_days(2024y / 2 / 29));
    for (const std::string text : {"", "2024-05", "2024-05-6", "2023-02-29", "2024-05-06 ",
                                   "2024-05-06T07:08:09Z", "20240506"}) {
        CAPTURE(text);
        CHECK_FALSE(decode_date(text));
    }
}

}  // namespace
