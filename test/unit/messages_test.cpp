// The protocol's bytes split into messages, by which the proxy of the fault tests counts.
#include "support/messages.hpp"
#include "support/wire_client.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

using test::message_splitter;
using test::side;

// The types of all messages in `bytes`, which come in pieces of `piece`.
std::string types_of(side from, const std::string& bytes, std::size_t piece) {
    message_splitter splitter(from);
    std::string types;
    std::string again;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        splitter.feed(std::string_view(bytes).substr(at, piece));
        while (const auto message = splitter.next()) {
            types += message->type;
            again += message->bytes;
        }
    }
    CHECK(again + splitter.take_rest() == bytes);
    return types;
}

TEST_CASE("messages are told apart however their bytes are cut") {
    const std::string asked = test::startup({{"user", "ann"}}) + test::message('Q', "SELECT 1") +
                              test::message('S', "") + test::message('X', "");
    const std::string answered =
        test::message('R', test::number(0)) + test::message('D', "12345") + test::message('Z', "I");
    for (const std::size_t piece : {1, 2, 3, 5, 7, 1'000}) {
        CAPTURE(piece);
        CHECK(types_of(side::frontend, asked, piece) == ">QSX");
        CHECK(types_of(side::backend, answered, piece) == "RDZ");
    }
}

TEST_CASE("a message that is not whole yet is kept back") {
    const std::string whole = test::message('D', "12345");
    message_splitter splitter(side::backend);
    splitter.feed(whole.substr(0, whole.size() - 1));
    CHECK_FALSE(splitter.next());
    splitter.feed(whole.substr(whole.size() - 1));
    CHECK(splitter.next()->bytes == whole);
    CHECK_FALSE(splitter.next());
}

TEST_CASE("a request to cancel and one to encrypt are known by their numbers") {
    const std::string cancel =
        test::packet(test::number(80877102) + test::number(1) + test::number(2));
    CHECK(types_of(side::frontend, cancel, 3) == "!");
    CHECK(types_of(side::frontend, test::ssl_request + "hello", 100) == "?#");
    CHECK(types_of(side::frontend, test::gss_request, 1) == "?");
}

TEST_CASE("what is encrypted is handed on as it comes") {
    message_splitter splitter(side::backend);
    splitter.stop_reading();
    splitter.feed("S");
    CHECK(splitter.next()->bytes == "S");
    CHECK_FALSE(splitter.next());
}

}  // namespace
