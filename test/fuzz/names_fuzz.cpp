// Names and addresses: connection strings, libpq's files, URLs, paths, times, the words of SQL.
//
// An input is a letter for the parser and the text.
#include "fuzz.hpp"

#include <bitdotio/api_key.hpp>
#include <bitdotio/database_name.hpp>
#include <bitdotio/named.hpp>

#include "base/http_url.hpp"
#include "base/percent_encoding.hpp"
#include "base/rfc3339.hpp"
#include "postgres/conninfo.hpp"
#include "postgres/conninfo_files.hpp"
#include "postgres/dial_parameters.hpp"
#include "postgres/statement_words.hpp"
#include "server/api/authorization_header.hpp"
#include "server/api/download_link.hpp"
#include "server/api/http_range.hpp"
#include "server/api/multipart.hpp"
#include "server/api/path_pattern.hpp"
#include "server/formats/job_failure.hpp"
#include "server/jobs/url_fetch.hpp"

#include <string>

using namespace bitdotio;
using fuzz::input;
using fuzz::reads;
using fuzz::require;

namespace {

void connection_string(input in) {
    reads({errc::bad_input}, [&] {
        const connect_options options = connect_options::parse(in.rest());
        for (const host_port& host : options.hosts) {
            require(host.port != 0, "a host has a port");
            require(!host.host.empty() || !host.address.empty(), "a host has a name or an address");
        }
        check(options);
        for (const host_port& host : options.hosts) {
            dial_parameters(options, host, "192.0.2.1", "secret");
        }
    });
}

void service_file(input in) {
    const std::string name(in.until('\n'));
    conninfo given;
    given["user"] = "mine";
    reads({errc::bad_input}, [&] { add_service(given, in.rest(), name, "service.conf"); });
    require(given["user"] == "mine", "a service file does not overrule its caller");
    for (const auto& [keyword, value] : given) {
        require(is_libpq_keyword(keyword), "a service file sets keywords of libpq");
    }
}

void password_file(input in) {
    const std::string_view host = in.until('\n');
    const std::string_view rest = in.rest();
    const auto password = password_in(rest, host, "5432", "db", "me");
    if (!password) return;
    require(password->find('\n') == std::string::npos, "a password is of one line");
    const std::string first = "*:*:*:*:first\n" + std::string(rest);
    require(password_in(first, host, "5432", "db", "me") == "first", "the first line counts");
}

void name_of_database(input in) {
    reads({errc::bad_input}, [&] {
        const database_name name(in.rest());
        require(std::string(name.user()) + "/" + std::string(name.database()) == name.full(),
                "a name is its user and its database");
        require(database_name(name.full()) == name, "a full name is its own");
        require(!name.user().empty() && name.user().size() <= 38, "a user has 1 to 38 characters");
        require(!name.database().empty() && name.database().size() <= 23,
                "a database has 1 to 23 characters");
        const auto path = match_path("/db/{db_name}", "/db/" + name.url_path());
        require(path && path->named("db_name") == name.full(), "a route finds the name again");
    });
}

void key(input in) {
    reads({errc::bad_input}, [&] {
        const api_key one(in.rest());
        require(one == api_key(one.reveal()), "a key is equal to itself");
        require(one.reveal().find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos,
                "a key fits in a header");
    });
}

void url(input in) {
    reads({errc::bad_input}, [&] {
        const http_url found = http_url::parse(in.rest());
        require(!found.host.empty() && found.port != 0, "a URL has a host and a port");
        require(found.target.starts_with('/'), "a target begins with a slash");
        const auto odd = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; };
        require(std::none_of(found.target.begin(), found.target.end(), odd) &&
                    std::none_of(found.host.begin(), found.host.end(), odd),
                "nothing of a URL ends a line of HTTP");
        const bool v6 = found.host.find(':') != std::string::npos;
        const http_url again = http_url::parse((found.secure ? "https://" : "http://") +
                                               (v6 ? "[" + found.host + "]" : found.host) + ":" +
                                               std::to_string(found.port) + found.target);
        require(again.host == found.host && again.port == found.port &&
                    again.target == found.target && again.secure == found.secure,
                "a URL's parts make the same URL");
    });
}

void redirect(input in) {
    const std::string location(in.until('\n'));
    try {
        const web_address next = web_address::parse(std::string(in.rest())).redirected(location);
        require(next.target.starts_with('/'), "a redirect's target begins with a slash");
        require(!next.host.empty(), "a redirect has a host");
        next.file_name();
    } catch (const job_failure& failure) {
        require(failure.type() == "download_failed", "a refused address is a failed download");
    }
}

void escapes(input in) {
    const std::string_view text = in.rest();
    require(percent_decoded(percent_encoded(text)) == text, "what is escaped is the same again");
    require(form_decoded(percent_encoded(text)) == text, "in a form as well");
    require(percent_decoded(text).size() <= text.size(), "an escape stands for one octet");
    std::size_t sizes = 0;
    read_urlencoded(text, [&](const std::string& name, const std::string& value) {
        sizes += name.size() + value.size();
    });
    require(sizes <= text.size(), "a form's fields are parts of it");
}

void path(input in) {
    const std::string_view text = in.rest();
    const target_parts parts(text);
    require(parts.path.size() + parts.query.size() <= text.size(), "a target has its parts");
    for (const char* pattern : {"/db/{db_name}", "/db/{db_name}/jobs/{id}", "/a/{x}/{y}", "/"}) {
        if (const auto found = match_path(pattern, parts.path)) found->named("db_name");
    }
    query_parameter(parts.query, "expires");
    static const download_link links(std::string(64, 'a'));
    require(links.check("1", parts.query, {}) == download_link::verdict::forged,
            "nobody else signs a link");
}

void time(input in) {
    const auto when = api::decode_time(in.rest());
    if (when) require(api::decode_time(api::encode_time(*when)) == when, "a time is what it was");
    const auto day = api::decode_date(in.rest());
    if (day) require(api::decode_date(api::encode_date(*day)) == day, "a date is what it was");
}

void range(input in) {
    const std::uint64_t size = in.letter(256);
    const range_answer answer = read_range(in.rest(), size);
    require(answer.range.begin <= size && answer.range.length <= size - answer.range.begin,
            "a range lies within its file");
    require(answer.what != range_answer::kind::part || answer.range.length > 0,
            "a part is not empty");
}

void header(input in) {
    const auto value = authorization_value(in.rest(), "bearer");
    if (value) require(in.rest().ends_with(*value), "a key is the end of its header");
}

void words(input in) {
    const std::string_view sql = in.rest();
    first_word(sql);
    may_commit_midway(sql);
    session_changes_of(sql);
    require(!commits(sql) || ends_transaction(sql), "what commits ends a transaction");
    require(!commits(sql) || may_commit(sql), "what commits may commit");
    if (is_one_statement(sql)) {
        require(commits(sql) == may_commit(sql) || may_commit(sql),
                "one statement is a script of one");
    }
}

void named_parameters(input in) {
    const statement sql{std::string(in.rest())};
    reads({errc::bad_input}, [&] {
        const statement numbered = number_parameters(sql, {"a", "bc"});
        require(numbered.sql().find("$1") != std::string::npos &&
                    numbered.sql().find("$2") != std::string::npos,
                "each name becomes a number");
    });
    reads({errc::bad_input}, [&] {
        require(number_parameters(sql, {}).sql() == sql.sql(), "a text without names stays");
    });
}

constexpr void (*parsers[])(input) = {
    connection_string,
    service_file,
    password_file,
    name_of_database,
    key,
    url,
    redirect,
    escapes,
    path,
    time,
    range,
    header,
    words,
    named_parameters,
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    input in(data, size);
    parsers[in.letter(std::size(parsers))](in);
    return 0;
}
