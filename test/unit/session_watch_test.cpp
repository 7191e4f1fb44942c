// When a session is at rest, by the messages that passed: a table of conversations.
#include "server/gateway/session_watch.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

using bitdotio::message_boundaries;
using bitdotio::session_limits;
using bitdotio::session_watch;
using bitdotio::time_point;
using ending = session_watch::ending;
using std::chrono::milliseconds;
using std::chrono::seconds;

const time_point start{seconds(1'000)};

std::string message(char type, const std::string& body = "") {
    const auto size = static_cast<std::uint32_t>(body.size() + 4);
    std::string bytes(1, type);
    for (const int shift : {24, 16, 8, 0}) {
        bytes.push_back(static_cast<char>(size >> shift & 0xff));
    }
    return bytes + body;
}

std::string ready(char status) {
    return message('Z', std::string(1, status));
}

session_limits limits() {
    session_limits result;
    result.idle = seconds(10);
    result.idle_in_transaction = seconds(20);
    result.life = seconds(100);
    return result;
}

// The messages, in their order: 'c' from the client, 's' from the server.
struct piece {
    char from;
    std::string bytes;
};

session_watch after(const std::vector<piece>& pieces) {
    session_watch watch(limits(), start);
    watch.from_server(message('R', std::string(4, '\0')) + ready('I'), start);
    watch.handed_on(start);
    for (const piece& each : pieces) {
        if (each.from == 'c') {
            watch.from_client(each.bytes, start);
        } else {
            watch.from_server(each.bytes, start);
            watch.handed_on(start);
        }
    }
    return watch;
}

const std::string query = message('Q', std::string("SELECT 1\0", 9));
const std::string row = message('D', "row");
const std::string done = message('C', std::string("SELECT 1\0", 9));
const std::string parse_to_execute =
    message('P', "p") + message('B', "b") + message('D', "d") + message('E', "e");
const std::string sync_message = message('S');

}  // namespace

TEST_CASE("a session rests when everything it asked for has been answered") {
    struct conversation {
        const char* what;
        std::vector<piece> pieces;
        ending expected;
    };
    const std::vector<conversation> table{
        {"nothing was asked", {}, ending::idle},
        {"a query runs", {{'c', query}}, ending::none},
        {"its rows are coming", {{'c', query}, {'s', row}}, ending::none},
        {"it is answered", {{'c', query}, {'s', row + done + ready('I')}}, ending::idle},
        {"the second of two runs", {{'c', query + query}, {'s', done + ready('I')}}, ending::none},
        {"both are answered",
         {{'c', query + query}, {'s', done + ready('I') + done + ready('I')}},
         ending::idle},
        {"a message is half there",
         {{'c', query}, {'s', (done + ready('I') + row).substr(0, done.size() + 9)}},
         ending::none},
        {"an extended query without its Sync", {{'c', parse_to_execute}}, ending::none},
        {"one with it", {{'c', parse_to_execute + sync_message}}, ending::none},
        {"one that is answered",
         {{'c', parse_to_execute + sync_message}, {'s', done + ready('I')}},
         ending::idle},
        {"the next began before the answer",
         {{'c', parse_to_execute + sync_message + parse_to_execute}, {'s', done + ready('I')}},
         ending::none},
        {"a COPY takes data",
         {{'c', query}, {'s', message('G', "g")}, {'c', message('d', "1\n")}},
         ending::none},
        {"it has ended",
         {{'c', query},
          {'s', message('G', "g")},
          {'c', message('d', "1\n") + message('c')},
          {'s', done + ready('I')}},
         ending::idle},
        {"PostgreSQL passed over the Sync behind a COPY",
         {{'c', parse_to_execute + sync_message},
          {'s', message('G', "g")},
          {'c', message('d', "1\n") + message('c') + sync_message},
          {'s', done + ready('I')}},
         ending::idle},
        {"PostgreSQL passed over Syncs among a COPY's data",
         {{'c', query},
          {'s', message('G', "g")},
          {'c', sync_message + message('d', "1\n") + sync_message + message('c')},
          {'s', done + ready('I')}},
         ending::idle},
        {"Syncs were sent along with a COPY and its data",
         {{'c', query + sync_message + message('d', "1\n") + sync_message + message('c')},
          {'s', message('G', "g") + done + ready('I')}},
         ending::idle},
        {"a Sync after the data is owed an answer",
         {{'c', query + sync_message + message('d', "1\n") + message('c') + sync_message},
          {'s', message('G', "g") + done + ready('I')}},
         ending::none},
        {"data was sent along with a COPY that was refused",
         {{'c', query + message('d', "1\n") + message('c')}, {'s', message('E', "e") + ready('I')}},
         ending::idle},
        {"a COPY failed before the client sent the end of its data",
         {{'c', query},
          {'s', message('G', "g")},
          {'c', sync_message + sync_message},
          {'s', message('E', "e") + ready('I')},
          {'c', message('d', "1\n") + message('c')}},
         ending::idle},
        {"PostgreSQL skipped queries up to the Sync after an error",
         {{'c', parse_to_execute + query + query + sync_message},
          {'s', message('E', "e") + ready('I')}},
         ending::idle},
        {"nothing but a Flush was sent", {{'c', message('H')}}, ending::idle},
        {"an error is not the end of it", {{'c', query}, {'s', message('E', "e")}}, ending::none},
        {"a notification came behind", {{'s', message('A', "a")}}, ending::none},
    };
    for (const conversation& each : table) {
        CAPTURE(each.what);
        const session_watch watch = after(each.pieces);
        CHECK(watch.due(start + seconds(10)) == each.expected);
        CHECK(watch.due(start + seconds(9)) == ending::none);
    }
}

TEST_CASE("the status byte decides which limit holds") {
    for (const char status : {'T', 'E'}) {
        const session_watch watch = after({{'c', query}, {'s', done + ready(status)}});
        CHECK(watch.due(start + seconds(19)) == ending::none);
        CHECK(watch.due(start + seconds(20)) == ending::idle_in_transaction);
        CHECK(watch.next(start) == start + seconds(20));
    }
    CHECK(after({}).next(start) == start + seconds(10));
}

TEST_CASE("every byte begins the time anew, whatever pieces messages come in") {
    const std::string answer = row + done + ready('I');
    session_watch watch = after({{'c', query}});
    time_point now = start;
    for (const char byte : answer) {
        now += seconds(3);
        CHECK(watch.due(now + seconds(60)) == ending::none);
        watch.from_server(std::string_view(&byte, 1), now);
        CHECK(watch.due(now + seconds(60)) == ending::none);  // not handed on yet
        watch.handed_on(now);
    }
    CHECK(watch.due(now + seconds(9)) == ending::none);
    CHECK(watch.due(now + seconds(10)) == ending::idle);
    CHECK(watch.take_rows() == 1);
    CHECK(watch.take_rows() == 0);
}

TEST_CASE(
    "a session at the end of its life goes between statements, a transaction a little later") {
    session_watch busy = after({{'c', query}});
    CHECK(busy.due(start + seconds(500)) == ending::none);
    CHECK(busy.is_pressing(start + seconds(100)));
    busy.from_server(done + ready('I'), start + seconds(500));
    busy.handed_on(start + seconds(500));
    CHECK(busy.due(start + seconds(500)) == ending::life);

    session_watch open = after({{'c', query}, {'s', done}});
    open.from_server(ready('T'), start + seconds(99));
    open.handed_on(start + seconds(99));
    CHECK(open.due(start + seconds(109)) == ending::none);
    CHECK(open.next(start + seconds(101)) == start + seconds(110));
    CHECK(open.due(start + seconds(110)) == ending::life);
    CHECK_FALSE(open.is_pressing(start + seconds(99)));
}

TEST_CASE("when the server stops a session goes as soon as no statement runs") {
    session_watch watch = after({{'c', query}});
    watch.retire();
    CHECK(watch.due(start) == ending::none);
    watch.from_server(done + ready('T'), start);
    CHECK(watch.due(start) == ending::none);
    watch.handed_on(start);
    CHECK(watch.due(start) == ending::server_stops);
}

TEST_CASE("limits of zero are none") {
    session_limits none;
    none.idle = none.idle_in_transaction = none.life = milliseconds(0);
    session_watch watch(none, start);
    watch.from_server(ready('I'), start);
    watch.handed_on(start);
    CHECK(watch.due(start + std::chrono::hours(10'000)) == ending::none);
    CHECK_FALSE(watch.next(start));
}

TEST_CASE("a length that cannot be is passed over without a loop or a wait") {
    message_boundaries read;
    int seen = 0;
    const std::string odd("Z\0\0\0\0X\0\0\0\4Y\xff\xff\xff\xff", 15);
    read.read(odd, [&](char, char) { ++seen; });
    CHECK(seen == 2);
    CHECK_FALSE(read.between_messages());
}

TEST_CASE("a client with too many unanswered requests is a flood, and takes no more memory") {
    session_watch watch = after({{'c', parse_to_execute}});
    std::string queries;
    for (int i = 0; i < 1'024; ++i) {
        queries += query;
    }
    std::size_t sent = 0;
    while (sent <= session_watch::most_owed) {
        CHECK(watch.due(start) == ending::none);
        watch.from_client(queries, start);
        sent += 1'024;
    }
    CHECK(watch.due(start) == ending::flood);
}

TEST_CASE("Syncs among a COPY's data leave nothing behind, however many they are") {
    session_watch watch = after({{'c', query}, {'s', message('G', "g")}});
    std::string syncs;
    for (int i = 0; i < 1'024; ++i) {
        syncs += sync_message;
    }
    for (std::size_t sent = 0; sent < 2 * session_watch::most_owed; sent += 1'024) {
        watch.from_client(syncs, start);
    }
    CHECK(watch.due(start) == ending::none);
    watch.from_client(message('c'), start);
    watch.from_server(done + ready('I'), start);
    watch.handed_on(start);
    CHECK(watch.due(start + seconds(10)) == ending::idle);
}

TEST_CASE("a client that PostgreSQL waits for within a request has the limit of a transaction") {
    struct conversation {
        const char* what;
        std::vector<piece> pieces;
        ending expected;
    };
    const std::string flush = message('H');
    const std::string half = query.substr(0, query.size() - 1);
    const std::vector<conversation> table{
        {"an extended query that was never asked for its answer",
         {{'c', parse_to_execute}},
         ending::idle_in_transaction},
        {"one whose answer is wanted", {{'c', parse_to_execute + flush}}, ending::none},
        {"a part of it is answered",
         {{'c', parse_to_execute + flush}, {'s', message('1') + message('2') + message('n')}},
         ending::none},
        {"all of it is answered, and no Sync follows",
         {{'c', parse_to_execute + flush},
          {'s', message('1') + message('2') + message('T', "t") + row + done}},
         ending::idle_in_transaction},
        {"it was refused: PostgreSQL ignores what follows",
         {{'c', parse_to_execute + flush},
          {'s', message('E', "e")},
          {'c', parse_to_execute + flush}},
         ending::idle_in_transaction},
        {"the next one runs after a Sync",
         {{'c', parse_to_execute + flush},
          {'s', message('E', "e")},
          {'c', sync_message},
          {'s', ready('I')},
          {'c', parse_to_execute + flush}},
         ending::none},
        {"a query among it is answered",
         {{'c', parse_to_execute + flush + query}, {'s', done + done + ready('I')}},
         ending::idle_in_transaction},
        {"half a message", {{'c', half}}, ending::idle_in_transaction},
        {"half a message while a query runs", {{'c', query + half}}, ending::none},
        {"data for a COPY does not come",
         {{'c', query}, {'s', message('G', "g")}, {'c', message('d', "1\n")}},
         ending::idle_in_transaction},
        {"its end has come",
         {{'c', query}, {'s', message('G', "g")}, {'c', message('c')}},
         ending::none},
    };
    for (const conversation& each : table) {
        CAPTURE(each.what);
        session_watch watch = after(each.pieces);
        CHECK(watch.due(start + seconds(19)) == ending::none);
        CHECK(watch.due(start + seconds(20)) == each.expected);
        // The server stops: nothing is cut in the middle.
        watch.retire();
        CHECK(watch.due(start + seconds(1)) == ending::none);
    }
}

TEST_CASE("a COPY whose data keeps coming is never too old, a request without end is") {
    const std::string data = message('d', "1\n");
    session_watch copy = after({{'c', query}, {'s', message('G', "g")}});
    session_watch loose = after({{'c', message('P', "p") + message('H')}, {'s', message('1')}});
    time_point now = start;
    for (int i = 0; i < 10; ++i) {
        now += seconds(12);
        CHECK(copy.due(now) == ending::none);
        copy.from_client(data, now);
        CHECK(loose.due(now) == (now < start + seconds(110) ? ending::none : ending::life));
        loose.from_client(message('P', "p") + message('H'), now);
        loose.from_server(message('1'), now);
        loose.handed_on(now);
    }
}
