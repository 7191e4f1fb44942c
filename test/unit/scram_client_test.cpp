// Authentication by SCRAM, without a server.
#include "server/hosts/scram_client.hpp"

#include <bitdotio/error.hpp>

#include <doctest/doctest.h>

#include <string>

using bitdotio::errc;
using bitdotio::scram_client;

namespace {

// RFC 7677, section 3.
const std::string nonce = "rOprNGfwEbeRWgbNEkqO";
const std::string challenge =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const std::string signature = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

errc refusal_of(const std::string& server_first) {
    scram_client client("pencil", nonce, "user");
    try {
        client.answer(server_first);
    } catch (const bitdotio::error& failure) {
        return failure.code();
    }
    return errc::wrong_type;
}

}  // namespace

TEST_CASE("the example of RFC 7677 is spoken word for word") {
    scram_client client("pencil", nonce, "user");
    CHECK(client.first() == "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    CHECK(client.answer(challenge) ==
          "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
          "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    CHECK_NOTHROW(client.check(signature));
}

TEST_CASE("a server that cannot sign is not believed") {
    for (const std::string said :
         {"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "v=AAAA", "v=", "e=other-error", ""}) {
        CAPTURE(said);
        scram_client client("pencil", nonce, "user");
        client.answer(challenge);
        CHECK_THROWS_AS(client.check(said), bitdotio::error);
    }
    const scram_client unasked("pencil", nonce, "user");
    CHECK_THROWS_AS(unasked.check(signature), bitdotio::error);
}

TEST_CASE("a challenge that is malformed, too dear, or for somebody else is refused") {
    const std::string salt = ",s=W22ZaJ0SNY7soEsUEjb6gQ==";
    for (const std::string& said : {
             std::string(),
             "r=" + nonce + salt + ",i=4096",                  // nothing of the server's own
             "r=another" + nonce + salt + ",i=4096",           // not our nonce
             "r=" + nonce + "x" + salt + ",i=0",               //
             "r=" + nonce + "x" + salt + ",i=2000000000",      //
             "r=" + nonce + "x,s=?,i=4096",                    //
             "r=" + nonce + "x,s=W22ZaJ0SNY7soE===,i=4096",    //
             "m=ext,r=" + nonce + "x" + salt + ",i=4096",      // an extension we do not know
             "s=W22ZaJ0SNY7soEsUEjb6gQ==,r=" + nonce + ",i=1"  // out of order
         }) {
        CAPTURE(said);
        CHECK(refusal_of(said) == errc::protocol_violated);
    }
}

TEST_CASE("a verifier is what PostgreSQL keeps of the password") {
    // As PostgreSQL 15 stores it in pg_authid for the password and salt of the example.
    CHECK(bitdotio::scram_verifier("pencil",
                                   "\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa"
                                   "\x81",
                                   4096) ==
          "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
          ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
}

TEST_CASE("base64 of any length, and random octets that differ") {
    CHECK(bitdotio::base64("") == "");
    CHECK(bitdotio::base64("f") == "Zg==");
    CHECK(bitdotio::base64("fo") == "Zm8=");
    CHECK(bitdotio::base64("foo") == "Zm9v");
    CHECK(bitdotio::random_octets(18).size() == 18);
    CHECK(bitdotio::random_octets(18) != bitdotio::random_octets(18));
}
