// PostgreSQL's protocol as the gateway reads it: first packets, messages of servers, SCRAM.
//
// An input is a letter for the reader and the bytes.
#include "fuzz.hpp"

#include "server/gateway/session_watch.hpp"
#include "server/gateway/startup_packet.hpp"
#include "server/hosts/scram_client.hpp"

#include <cstring>
#include <string>

using namespace bitdotio;
using fuzz::input;
using fuzz::reads;
using fuzz::require;

namespace {

std::string framed(std::string_view body) {
    const std::size_t size = body.size() + 4;
    std::string packet;
    for (const int shift : {24, 16, 8, 0})
        packet.push_back(static_cast<char>(size >> shift & 0xff));
    return packet.append(body);
}

void read_opening(std::string_view packet) {
    if (packet.size() >= 4) {
        const auto size = opening_size(packet);
        require(!size || (*size >= 8 && *size <= max_opening_size), "a first packet is small");
    }
    reads({errc::protocol_violated}, [&] {
        const opening parsed = parse_opening(packet);
        const auto* message = std::get_if<startup_message>(&parsed);
        if (!message || message->major != 3) return;
        const auto again = std::get<startup_message>(
            parse_opening(wire_message::startup(*message, "owner", "main")));
        require(again.find("user") == "owner" && again.find("database") == "main",
                "a session is that of its database");
        require(again.protocol_options().empty(), "unknown options are not handed on");
        for (const auto& [name, value] : message->parameters) {
            if (name == "user" || name == "database" || name.starts_with("_pq_.")) continue;
            require(again.find(name) == message->find(name), "settings are handed on");
        }
        wire_message::negotiate_protocol_version(message->protocol_options());
    });
}

void opening_as_it_is(input in) {
    read_opening(in.rest());
}

// A length that fits, so that what comes after it is read.
void opening_that_fits(input in) {
    read_opening(framed(in.rest()));
}

void message(input in) {
    const std::string_view bytes = in.rest();
    const auto size = message_size(bytes);
    if (size) require(*size >= 5, "a message has a head");
    if (const auto key = parse_backend_key_data(bytes)) {
        require(parse_backend_key_data(wire_message::backend_key_data(*key)) == key,
                "a key is what it was");
    }
    authentication_kind(bytes);
    for (const char type : {'C', 'M', 'S'}) {
        const auto field = error_field(bytes, type);
        if (field) require(field->find('\0') == std::string::npos, "a field ends at its zero");
    }
    if (const auto password = parse_password(bytes)) {
        require(*password + '\0' == bytes, "a password is all of its message");
    }
}

// The same whatever the pieces. A letter says who speaks and how long the piece is.
void conversation(input in) {
    session_limits limits;
    const time_point begin{std::chrono::hours(1)};
    session_watch whole(limits, begin);
    session_watch pieces(limits, begin);
    time_point now = begin;
    while (!in.empty()) {
        const bool client = in.letter(2) != 0;
        const std::string_view bytes = in.until('|');
        now += std::chrono::seconds(40);
        if (client) {
            whole.from_client(bytes, now);
            for (std::size_t i = 0; i < bytes.size(); ++i)
                pieces.from_client(bytes.substr(i, 1), now);
        } else {
            whole.from_server(bytes, now);
            for (std::size_t i = 0; i < bytes.size(); ++i)
                pieces.from_server(bytes.substr(i, 1), now);
        }
        if (bytes.empty()) continue;  // one took a piece and the other none
        whole.handed_on(now);
        pieces.handed_on(now);
        require(whole.rows() == pieces.rows(), "rows are counted whatever the pieces");
        require(whole.due(now) == pieces.due(now), "a session rests whatever the pieces");
        require(whole.next(now) == pieces.next(now), "and is looked at at the same time");
        const auto next = whole.next(now);
        require(!next || *next > now || whole.due(now) != session_watch::ending::none,
                "a session is looked at in the future");
    }
}

// The dearest challenge that is allowed takes a second here: most of them are to cost little.
void server_first(input in) {
    std::string said(in.rest());
    const std::size_t count = said.find(",i=");
    if (count != std::string::npos && said.size() - count > 6) said.resize(count + 6);
    scram_client client("pencil", "rOprNGfwEbeRWgbNEkqO", "user");
    reads({errc::protocol_violated}, [&] {
        const std::string answer = client.answer(said);
        require(answer.starts_with("c=biws,r=rOprNGfwEbeRWgbNEkqO"), "an answer has our nonce");
        require(answer.find(",p=") != std::string::npos, "an answer has a proof");
    });
}

void server_final(input in) {
    static const scram_client& client = [&]() -> const scram_client& {
        static scram_client one("pencil", "rOprNGfwEbeRWgbNEkqO", "user");
        one.answer(
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1");
        return one;
    }();
    require(!reads({errc::authentication_failed}, [&] { client.check(in.rest()); }),
            "nobody signs without the password");
}

constexpr void (*readers[])(input) = {
    opening_as_it_is, opening_that_fits, message, conversation, server_first, server_final,
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    input in(data, size);
    readers[in.letter(std::size(readers))](in);
    return 0;
}
