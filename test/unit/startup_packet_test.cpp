// Clients' opening packets are read strictly; our answers are what libpq expects.
#include <bitdotio/error.hpp>

#include "server/gateway/startup_packet.hpp"
#include "support/fuzz.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

using namespace bitdotio;
using namespace std::string_literals;

namespace {

std::string packet(const std::string& body) {
    const std::size_t size = body.size() + 4;
    return std::string{static_cast<char>(size >> 24), static_cast<char>(size >> 16 & 0xff),
                       static_cast<char>(size >> 8 & 0xff), static_cast<char>(size & 0xff)} +
           body;
}

const std::string version_3_0 = "\0\3\0\0"s;
const std::string ssl_code = "\x04\xd2\x16\x2f"s;
const std::string gss_code = "\x04\xd2\x16\x30"s;
const std::string cancel_code = "\x04\xd2\x16\x2e"s;

std::string why_malformed(const std::string& bytes) {
    try {
        parse_opening(bytes);
    } catch (const error& failure) {
        CHECK(failure.code() == errc::protocol_violated);
        return failure.what();
    }
    return "well formed";
}

}  // namespace

TEST_CASE("the requests for TLS and GSSAPI are told apart") {
    CHECK(std::holds_alternative<ssl_request>(parse_opening(packet(ssl_code))));
    CHECK(std::holds_alternative<gss_request>(parse_opening(packet(gss_code))));
    CHECK(why_malformed(packet(ssl_code + "x")) == "invalid length of startup packet");
}

TEST_CASE("a cancel request carries process number and secret") {
    const auto key = std::get<cancel_key>(
        parse_opening(packet(cancel_code + "\0\0\1\2"s + "\xff\xfe\xfd\xfc"s)));
    CHECK(key.pid == 0x102);
    CHECK(key.secret == 0xfffefdfc);
    CHECK(parse_opening(wire_message::cancel_request(key)).index() == 2);
    CHECK(why_malformed(packet(cancel_code + "\0\0\1"s)) == "invalid length of startup packet");
}

TEST_CASE("a startup message gives its parameters in order, the last of a name counting") {
    const auto message = std::get<startup_message>(
        parse_opening(packet(version_3_0 + "user\0eve\0database\0adam/my-db\0user\0bob\0\0"s)));
    CHECK(message.major == 3);
    CHECK(message.minor == 0);
    CHECK(message.parameters.size() == 3);
    CHECK(message.find("user") == "bob");
    CHECK(message.find("database") == "adam/my-db");
    CHECK_FALSE(message.find("replication"));
}

TEST_CASE("a database may be named with its slash escaped, as drivers leave it in a URL") {
    CHECK(meant_database("adam/my-db") == "adam/my-db");
    CHECK(meant_database("adam%2Fmy-db") == "adam/my-db");
    CHECK(meant_database("adam%2fmy-db") == "adam/my-db");
    CHECK(meant_database("a%2Fb%2Fc") == "a/b/c");
    for (const char* kept : {"adam/my%2Fdb", "adam.my-db", "adam%my", "adam%2", "%2", "%20a", ""}) {
        CHECK(meant_database(kept) == kept);
    }
}

TEST_CASE("a startup message cut short or grown long is refused") {
    CHECK(why_malformed(packet(version_3_0 + "user\0eve"s)) !=
          why_malformed(packet(version_3_0 + "user\0eve\0\0"s)));
    CHECK(why_malformed(packet(version_3_0 + "user\0eve\0\0"s)) == "well formed");
    CHECK(why_malformed(packet(version_3_0 + "user\0eve\0"s)) != "well formed");
    CHECK(why_malformed(packet(version_3_0 + "user\0"s)) != "well formed");
    CHECK(why_malformed(packet(version_3_0)) != "well formed");
    CHECK(why_malformed(packet(version_3_0 + "user\0eve\0\0more"s)) != "well formed");
    CHECK(why_malformed(packet(version_3_0 + "\0"s) + "x") == "invalid length of startup packet");
}

TEST_CASE("a length that no first packet has is refused before it is read") {
    CHECK(opening_size("\0\0\0\x08"s) == 8);
    CHECK(opening_size("\0\0\x27\x10"s) == 10'000);
    CHECK_FALSE(opening_size("\0\0\x27\x11"s));
    CHECK_FALSE(opening_size("\0\0\0\7"s));
    CHECK_FALSE(opening_size("GET "s));
    CHECK_FALSE(opening_size("\xff\xff\xff\xff"s));
}

TEST_CASE("another major version is recognised without reading its parameters") {
    const auto message = std::get<startup_message>(parse_opening(packet("\0\2\0\0 junk"s)));
    CHECK(message.major == 2);
    CHECK(message.parameters.empty());
}

TEST_CASE("a newer minor version and unknown protocol options are negotiated down") {
    const auto message =
        std::get<startup_message>(parse_opening(packet("\0\3\0\2user\0eve\0_pq_.future\0on\0\0"s)));
    CHECK(message.minor == 2);
    CHECK(message.protocol_options() == std::vector<std::string>{"_pq_.future"});
    CHECK(wire_message::negotiate_protocol_version(message.protocol_options()) ==
          "v\0\0\0\x18\0\3\0\0\0\0\0\1_pq_.future\0"s);
}

TEST_CASE("the instance is asked for its own user and database, all other settings kept") {
    const auto original = std::get<startup_message>(parse_opening(
        packet("\0\3\0\2user\0eve\0_pq_.x\0on\0database\0adam/my-db\0options\0-c a=b\0\0"s)));
    CHECK(wire_message::startup(original, "owner", "main") ==
          packet(version_3_0 + "user\0owner\0database\0main\0options\0-c a=b\0\0"s));
}

TEST_CASE("a fatal error carries severity, SQLSTATE, message and hint") {
    CHECK(wire_message::fatal("28000", "no", "yes") ==
          "E\0\0\0\x23SFATAL\0VFATAL\0C28000\0Mno\0Hyes\0\0"s);
    CHECK(wire_message::cleartext_password_request() == "R\0\0\0\x08\0\0\0\3"s);
    CHECK(wire_message::sasl_request({"A-PLUS", "A"}) ==
          "R\0\0\0\x12\0\0\0\x0a"
          "A-PLUS\0A\0\0"s);
    CHECK(wire_message::sasl_continue("r=x") == "R\0\0\0\x0b\0\0\0\x0br=x"s);
    CHECK(wire_message::sasl_final("v=x") == "R\0\0\0\x0b\0\0\0\x0cv=x"s);
}

TEST_CASE("BackendKeyData is read back as it was written, and nothing else is taken for it") {
    const cancel_key key{77, 0xdeadbeef};
    const std::string message = wire_message::backend_key_data(key);
    CHECK(message_size(message) == message.size());
    CHECK(parse_backend_key_data(message) == key);
    CHECK_FALSE(parse_backend_key_data("Z\0\0\0\5I"s));
    CHECK_FALSE(message_size("K\0\0\0"s));
}

TEST_CASE("a client's first SASL message is read back as it was written, and nothing else is") {
    const std::string body = wire_message::sasl_initial_response("SCRAM-SHA-256", "n,,").substr(5);
    const auto opened = parse_sasl_initial_response(body);
    REQUIRE(opened);
    CHECK(opened->mechanism == "SCRAM-SHA-256");
    CHECK(opened->text == "n,,");
    for (const std::string& given :
         {""s, "v2_x\0"s, "A\0\0\0\0"s, "A\0\xff\xff\xff\xff"s, "A\0\0\0\0\4n,,"s, body + "x"}) {
        CAPTURE(given);
        CHECK_FALSE(parse_sasl_initial_response(given));
    }
}

TEST_CASE("a password is what stands before its one terminator") {
    CHECK(parse_password("v2_x\0"s) == "v2_x");
    CHECK(parse_password("\0"s) == "");
    CHECK_FALSE(parse_password("v2_x"));
    CHECK_FALSE(parse_password("v2\0x\0"s));
    CHECK_FALSE(parse_password(""));
}

TEST_CASE("whatever bytes come first, they are read as what they are, or refused, and no further") {
    test::fuzzer chance;
    CAPTURE(chance.seed());
    const std::vector<std::string> valid = {
        packet(ssl_code),
        packet(gss_code),
        packet(cancel_code + "\0\0\1\2\xff\xfe\xfd\xfc"s),
        packet(version_3_0 + "user\0eve\0database\0adam/my-db\0options\0-c a=b\0\0"s),
        packet("\0\3\0\2user\0eve\0_pq_.x\0on\0\0"s),
        packet(version_3_0 + "\0"s),
        packet(version_3_0 + "user\0eve\0options\0\0\0"s),
        packet("\0\2\0\0 junk"s),
        packet(version_3_0 + "user\0"s + std::string(9'000, 'x') + "\0\0"s),
        "p\0\0\0\x09v2_x\0"s,
        wire_message::backend_key_data({77, 0xdeadbeef}),
    };
    std::size_t read = 0;
    for (std::size_t i = test::fuzzer::cases(20'000); i > 0; --i) {
        std::string bytes = chance.once_in(10) ? chance.bytes(chance.below(64))
                                               : chance.changed(chance.any_of(valid));
        // Where the length was not changed, it is made to fit, so that the bytes after it are read.
        if (bytes.size() >= 4 && chance.once_in(2)) {
            bytes = packet(bytes.substr(4));
        }
        // In memory of exactly its size, so that the sanitizer sees one step too far.
        const std::unique_ptr<char[]> exact(new char[bytes.size()]);
        std::memcpy(exact.get(), bytes.data(), bytes.size());
        const std::string_view given(exact.get(), bytes.size());
        CAPTURE(i);
        if (given.size() >= 4) {
            const auto size = opening_size(given);
            CHECK((!size || (*size >= 8 && *size <= max_opening_size)));
        }
        try {
            const opening parsed = parse_opening(given);
            ++read;
            if (const auto* message = std::get_if<startup_message>(&parsed)) {
                if (message->major != 3) continue;
                // What we would pass on reads the same, except for user and database.
                const auto again = std::get<startup_message>(
                    parse_opening(wire_message::startup(*message, "owner", "main")));
                CHECK(again.find("user") == "owner");
                CHECK(again.find("database") == "main");
                CHECK(again.protocol_options().empty());
                for (const auto& [name, value] : message->parameters) {
                    if (name == "user" || name == "database" || name.starts_with("_pq_.")) continue;
                    CHECK(again.find(name) == message->find(name));
                }
            }
        } catch (const error& failure) {
            CHECK(failure.code() == errc::protocol_violated);
        }
        if (const auto size = message_size(given)) CHECK(*size >= 5);
        if (const auto key = parse_backend_key_data(given)) {
            // Its type says what it is; the length it states was obeyed before.
            CHECK(wire_message::backend_key_data(*key).substr(5) == given.substr(5));
        }
        if (const auto password = parse_password(given)) {
            CHECK(*password + '\0' == given);
        }
    }
    CHECK(read > 0);
}
