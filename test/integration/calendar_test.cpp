// Dates, times of day, instants and intervals, to the ends of their ranges.
#include "support/values.hpp"
#include "support/with_connection.hpp"

#include <bitdotio/calendar.hpp>

#include <chrono>
#include <limits>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace bitdotio;
using namespace std::chrono;
using test::refusal;
using test::says;

test::database& shared() {
    static test::database instance;
    return instance;
}

constexpr std::int64_t day_length = 86'400'000'000;
// 4714-11-24 BC and 5874897-12-31; for instants the last day that C++ counts in microseconds since
// 1970.
constexpr std::int64_t first_day = -2'440'588;
constexpr std::int64_t last_day = 2'145'042'905;
constexpr std::int64_t last_instant_day = 106'751'991;

interval make(std::int32_t months, std::int32_t day_count, std::int64_t count) {
    return {months, day_count, microseconds(count)};
}

TEST_CASE("random dates, times and intervals come back the same, in binary and in text") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.query("SET timezone = 'Asia/Kolkata'");
        test::dice dice;
        CAPTURE(dice.seed);
        std::vector<date> dates{date::max(), date::min(), date(), date(days(first_day))};
        std::vector<time_of_day> times{{0us}, {24h}, {24h - 1us}, {1us}};
        std::vector<timetz> zoned{{{24h}, 15h + 59min + 59s}, {{0us}, -15h - 59min - 59s}};
        std::vector<timestamp> local{timestamp::max(), timestamp::min()};
        std::vector<timestamptz> instants{timestamptz::max(), timestamptz::min()};
        std::vector<interval> intervals{
            {},
            make(0, 0, 1),
            make(0, 0, -1),
            make(-1, 1, -1),
            make(std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::min(),
                 std::numeric_limits<std::int64_t>::max())};
        for (int i = 0; i < 60; ++i) {
            dates.emplace_back(days(dice.number(first_day, last_day)));
            times.push_back({microseconds(dice.number(0, day_length))});
            zoned.push_back({{microseconds(dice.number(0, day_length))},
                             seconds(dice.number(-57'599, 57'599))});
            const std::int64_t instant =
                dice.number(first_day + 1, last_instant_day - 1) * day_length +
                dice.number(0, day_length);
            local.emplace_back(microseconds(instant));
            instants.emplace_back(microseconds(instant));
            intervals.push_back(make(static_cast<std::int32_t>(dice.number(-100'000, 100'000)),
                                     static_cast<std::int32_t>(dice.number(-1'000'000, 1'000'000)),
                                     dice.number(-day_length * 10'000, day_length * 10'000)));
        }
        co_await test::round_trip(c, "date", std::move(dates));
        co_await test::round_trip(c, "time", std::move(times));
        co_await test::round_trip(c, "timetz", std::move(zoned));
        co_await test::round_trip(c, "timestamp", std::move(local));
        co_await test::round_trip(c, "timestamptz", std::move(instants));
        co_await test::round_trip(c, "interval", std::move(intervals));
        std::vector<milliseconds> durations{0ms, -1ms, 86'400'001ms};
        co_await test::round_trip(c, "interval", std::move(durations));
    });
}

TEST_CASE("dates, times and intervals are the very ones the server writes") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        co_await c.query("SET timezone = 'UTC'");
        const date leap = local_days(year(2024) / 2 / 29);
        co_await test::same_as_text(c, "date", leap, "2024-02-29");
        const date ides = local_days(year(-43) / 3 / 15);
        co_await test::same_as_text(c, "date", ides, "0044-03-15 BC");
        const date year_one_bc = local_days(year(0) / 12 / 31);
        co_await test::same_as_text(c, "date", year_one_bc, "0001-12-31 BC");
        co_await test::same_as_text(c, "date", date(days(first_day)), "4714-11-24 BC");
        co_await test::same_as_text(c, "date", date(days(last_day)), "5874897-12-31");
        co_await test::same_as_text(c, "date", date::max(), "infinity");
        co_await test::same_as_text(c, "date", date::min(), "-infinity");
        co_await test::same_as_text(c, "time", time_of_day{24h}, "24:00:00");
        co_await test::same_as_text(c, "time", time_of_day{1h + 2min + 3s + 40ms}, "01:02:03.04");
        const timetz delhi{{12h}, 5h + 30min};
        co_await test::same_as_text(c, "timetz", delhi, "12:00:00+05:30");
        const timetz west{{12h}, -(3h + 30min + 52s)};
        co_await test::same_as_text(c, "timetz", west, "12:00:00-03:30:52");
        const timestamp local = local_days(year(-43) / 3 / 15) + 12h + 1us;
        co_await test::same_as_text(c, "timestamp", local, "0044-03-15 12:00:00.000001 BC");
        const timestamptz instant = sys_days(year(1969) / 12 / 31) + 23h + 59min;
        co_await test::same_as_text(c, "timestamptz", instant, "1969-12-31 23:59:00+00");
        co_await test::same_as_text(c, "interval", make(14, 3, 4'000'000),
                                    "1 year 2 mons 3 days 00:00:04");
        co_await test::same_as_text(c, "interval", make(-1, 2, -3'500'000),
                                    "-1 mons +2 days -00:00:03.5");
        co_await test::same_as_text(c, "interval", make(0, 0, 0), "00:00:00");
        co_await test::same_as_text(c, "interval", make(0, -1, 0), "-1 days");
        const hours many(100);
        co_await test::same_as_text(c, "interval", many, "100:00:00");
    });
}

TEST_CASE("to_string is text the server reads as the same value") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        test::dice dice;
        CAPTURE(dice.seed);
        for (int i = 0; i < 60; ++i) {
            const date day(days(dice.number(first_day, last_day)));
            const timestamptz instant(
                microseconds(dice.number(first_day + 1, last_instant_day - 1) * day_length +
                             dice.number(0, day_length - 1)));
            const timetz clock{{microseconds(dice.number(0, day_length))},
                               seconds(dice.number(-57'599, 57'599))};
            const interval span = make(static_cast<std::int32_t>(dice.number(-100, 100)),
                                       static_cast<std::int32_t>(dice.number(-100, 100)),
                                       dice.number(-day_length, day_length));
            const auto answer = co_await c.query(
                "SELECT $1::date, $2::timestamptz, $3::timetz, $4::interval", to_string(day),
                to_string(instant), to_string(clock), to_string(span));
            const auto [day_back, instant_back, clock_back, span_back] =
                answer.one<std::tuple<date, timestamptz, timetz, interval>>();
            CHECK(day_back == day);
            CHECK(instant_back == instant);
            CHECK(clock_back == clock);
            CHECK(span_back == span);
        }
    });
}

TEST_CASE("calendar values that do not fit are refused") {
    test::with_connection(shared().connect, [](connection& c) -> asio::awaitable<void> {
        const auto month = co_await c.query("SELECT '1 month'::interval AS span");
        CHECK(says(refusal<seconds>(month), errc::wrong_type, {"\"span\"", "interval", "months"}));
        const auto fine = co_await c.query("SELECT '1.5 seconds'::interval AS span");
        CHECK(says(refusal<seconds>(fine), errc::wrong_type, {"finer"}));
        CHECK(fine.one<milliseconds>() == 1500ms);
        const auto long_one = co_await c.query("SELECT '100000 hours'::interval AS span");
        using small_seconds = duration<std::int8_t>;
        CHECK(says(refusal<small_seconds>(long_one), errc::wrong_type, {"out of its range"}));
        CHECK(says(refusal<date>(fine), errc::wrong_type, {"interval", "bitdotio::date"}));
        const auto stamp = co_await c.query("SELECT '2024-01-01'::timestamp AS at");
        CHECK(says(refusal<timestamptz>(stamp), errc::wrong_type,
                   {"timestamp without time zone", "bitdotio::timestamptz"}));
        CHECK(says(refusal<date>(stamp), errc::wrong_type, {"bitdotio::date"}));
        co_await c.query("SET datestyle = 'German'");
        co_await c.query("SET intervalstyle = 'iso_8601'");
        const auto german =
            co_await c.query(statement("SELECT '2024-01-31'::date AS day").text_results());
        CHECK(says(refusal<date>(german), errc::wrong_type, {"ISO date style"}));
        const auto iso = co_await c.query(statement("SELECT '1 day'::interval").text_results());
        CHECK(says(refusal<interval>(iso), errc::wrong_type, {"IntervalStyle"}));
    });
    CHECK(says(test::binding_refusal(time_of_day{25h}), errc::bad_input, {"24:00"}));
    CHECK(says(test::binding_refusal(time_of_day{-1us}), errc::bad_input, {"00:00"}));
    CHECK(says(test::binding_refusal(timetz{{1h}, 17h}), errc::bad_input, {"16 hours"}));
    CHECK(says(test::binding_refusal(date(days(3'000'000'000))), errc::bad_input, {"date"}));
    CHECK(says(test::binding_refusal(hours::max()), errc::bad_input, {"interval"}));
}

}  // namespace
