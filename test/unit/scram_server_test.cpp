// Authentication by SCRAM from the server's side, against our client and clients made by hand.
#include "server/hosts/scram_server.hpp"

#include "server/hosts/scram_client.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

using bitdotio::scram_client;
using bitdotio::scram_secret;
using bitdotio::scram_server;
using bitdotio::scram_violation;
namespace scram = bitdotio::scram;

namespace {

// RFC 7677, section 3.
const std::string salt = "\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81";
const std::string client_nonce = "rOprNGfwEbeRWgbNEkqO";
const std::string server_nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const std::string both_nonces = client_nonce + server_nonce;
const std::string right_proof = ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const std::string channel(32, '\x07');
constexpr std::string_view plain = scram_server::mechanism;
constexpr std::string_view plus = scram_server::bound_mechanism;

scram_server server_with(const std::string& bound_to) {
    return scram_server(salt, 4096, server_nonce, bound_to);
}

scram_secret kept_of(const std::string& password) {
    const auto kept =
        bitdotio::parse_scram_verifier(bitdotio::scram_verifier(password, salt, 4096));
    REQUIRE(kept);
    return *kept;
}

// The SQLSTATE of the refusal of a client's first message, or "taken".
std::string refusal_of_first(const std::string& bound_to, std::string_view chosen,
                             const std::string& first) {
    scram_server server = server_with(bound_to);
    try {
        server.challenge(chosen, first);
    } catch (const scram_violation& refused) {
        return std::string(refused.state());
    }
    return "taken";
}

// The same for the final message of an exchange that is not bound.
std::string refusal_of_final(const std::string& last) {
    scram_server server = server_with("");
    server.challenge(plain, "n,,n=user,r=" + client_nonce);
    try {
        server.receive(last);
    } catch (const scram_violation& refused) {
        return std::string(refused.state());
    }
    return "taken";
}

// The final message of a client that binds the channel it sees.
std::string bound_final(const std::string& password, const std::string& seen,
                        const std::string& challenge) {
    const std::string first_bare = "n=,r=" + client_nonce;
    const std::string without_proof =
        "c=" + bitdotio::base64("p=tls-server-end-point,," + seen) + ",r=" + both_nonces;
    const std::string exchanged = first_bare + "," + challenge + "," + without_proof;
    const std::string key = scram::hmac(scram::salted(password, salt, 4096), "Client Key");
    std::string proof = scram::hmac(scram::sha256(key), exchanged);
    for (std::size_t i = 0; i < proof.size(); ++i) {
        proof[i] = static_cast<char>(proof[i] ^ key[i]);
    }
    return without_proof + ",p=" + bitdotio::base64(proof);
}

}  // namespace

TEST_CASE("the server of RFC 7677's example is spoken word for word") {
    scram_server server = server_with("");
    CHECK(server.challenge(plain, "n,,n=user,r=" + client_nonce) ==
          "r=" + both_nonces + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    server.receive("c=biws,r=" + both_nonces + right_proof);
    CHECK(server.is_proven_by(kept_of("pencil")));
    CHECK_FALSE(server.is_proven_by(kept_of("pencils")));
    CHECK(server.signature(kept_of("pencil")) == "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

TEST_CASE("our client and our server believe each other only with the same password") {
    for (const std::string& bound_to : {std::string(), channel}) {
        for (const std::string password : {"pencil", "pen", ""}) {
            CAPTURE(password);
            scram_server server = server_with(bound_to);
            scram_client client(password, client_nonce);
            server.receive(client.answer(server.challenge(plain, client.first())));
            CHECK(server.is_proven_by(kept_of("pencil")) == (password == "pencil"));
            CHECK(server.is_proven_by(kept_of(password)));
            CHECK_NOTHROW(client.check(server.signature(kept_of(password))));
            CHECK_THROWS_AS(client.check(server.signature(kept_of("other"))), bitdotio::error);
        }
    }
}

TEST_CASE("a bound exchange is believed on its own channel and refused on another") {
    CHECK(server_with(channel).mechanisms() == std::vector<std::string_view>{plus, plain});
    CHECK(server_with("").mechanisms() == std::vector<std::string_view>{plain});
    scram_server server = server_with(channel);
    const std::string challenge =
        server.challenge(plus, "p=tls-server-end-point,,n=,r=" + client_nonce);
    std::string state;
    try {
        server.receive(bound_final("pencil", std::string(32, '\x08'), challenge));
    } catch (const scram_violation& refused) {
        state = refused.state();
    }
    CHECK(state == "28000");
    CHECK_FALSE(server.is_proven_by(kept_of("pencil")));
    server.receive(bound_final("pencil", channel, challenge));
    CHECK(server.is_proven_by(kept_of("pencil")));
    CHECK_FALSE(server.is_proven_by(kept_of("pen")));
}

TEST_CASE("first messages that break the rules are refused with PostgreSQL's SQLSTATE") {
    const std::string rest = ",,n=,r=" + client_nonce;
    CHECK(refusal_of_first("", plain, "n" + rest) == "taken");
    CHECK(refusal_of_first("", plain, "y" + rest) == "taken");
    CHECK(refusal_of_first(channel, plain, "n" + rest) == "taken");
    CHECK(refusal_of_first(channel, plus, "p=tls-server-end-point" + rest) == "taken");
    // The offer of channel binding was taken away on its way.
    CHECK(refusal_of_first(channel, plain, "y" + rest) == "28000");
    CHECK(refusal_of_first("", plus, "p=tls-server-end-point" + rest) == "08P01");
    CHECK(refusal_of_first(channel, plus, "p=tls-unique" + rest) == "08P01");
    CHECK(refusal_of_first(channel, plus, "n" + rest) == "08P01");
    CHECK(refusal_of_first(channel, plus, "y" + rest) == "08P01");
    CHECK(refusal_of_first(channel, plain, "p=tls-server-end-point" + rest) == "08P01");
    CHECK(refusal_of_first("", "SCRAM-SHA-1", "n" + rest) == "08P01");
    CHECK(refusal_of_first("", plain, "n,a=eve,n=,r=" + client_nonce) == "0A000");
    CHECK(refusal_of_first("", plain, "n,,m=ext,n=,r=" + client_nonce) == "0A000");
    for (const std::string& first :
         {std::string(), std::string("n"), std::string("n,"), std::string("n,,"),
          std::string("x") + rest, std::string("n,,n="), std::string("n,,n=,r="),
          "n,,r=" + client_nonce, std::string("n,,n=,r=a b"), std::string("n,,n=,r=\x7f"),
          "n" + rest + ",x=extension", "n,n=,r=" + client_nonce}) {
        CAPTURE(first);
        CHECK(refusal_of_first("", plain, first) == "08P01");
    }
}

TEST_CASE("final messages that break the rules are refused, and prove nothing") {
    const std::string nonces = ",r=" + both_nonces;
    CHECK(refusal_of_final("c=biws" + nonces + right_proof) == "taken");
    for (const std::string& last :
         {std::string(), "c=biws" + nonces, "c=biws" + right_proof, nonces + right_proof,
          "c=eSws" + nonces + right_proof,                      // another header than it sent
          "c=biws,r=" + client_nonce + right_proof,             // not our nonce
          "c=biws" + nonces + "x" + right_proof,                //
          "c=biws" + nonces + ",p=AAAA",                        // too short
          "c=biws" + nonces + ",p=?",                           //
          "c=biws" + nonces + right_proof + ",x=more",          //
          "c=biws" + nonces + ",x=extension" + right_proof}) {  //
        CAPTURE(last);
        CHECK(refusal_of_final(last) == "08P01");
    }
    scram_server unasked = server_with("");
    CHECK_THROWS_AS(unasked.receive("c=,r=" + right_proof), scram_violation);
    CHECK_FALSE(unasked.is_proven_by(kept_of("pencil")));
}

TEST_CASE("only verifiers are read as verifiers") {
    const std::string good = bitdotio::scram_verifier("pencil", salt, 4096);
    const auto read = bitdotio::parse_scram_verifier(good);
    REQUIRE(read);
    CHECK(read->salt == salt);
    CHECK(read->iterations == 4096);
    for (const std::string& text :
         {std::string(), std::string("md5"), good.substr(0, good.size() - 4), "x" + good,
          std::string("SCRAM-SHA-256$0:AAAA$AAAA:AAAA"), good.substr(0, good.find(':'))}) {
        CAPTURE(text);
        CHECK_FALSE(bitdotio::parse_scram_verifier(text));
    }
}
