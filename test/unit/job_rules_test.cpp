// The rules around imports and exports: forms, ranges, addresses, links, paths.
#include "server/api/download_link.hpp"
#include "server/api/http_range.hpp"
#include "server/api/import_form.hpp"
#include "server/api/multipart.hpp"
#include "server/formats/export_values.hpp"
#include "server/jobs/export_run.hpp"
#include "server/jobs/job_record.hpp"
#include "server/jobs/public_address.hpp"
#include "server/jobs/url_fetch.hpp"
#include "service/job_codec.hpp"
#include "support/child.hpp"

#include <bitdotio/error.hpp>

#include <doctest/doctest.h>

#include <fstream>
#include <sstream>
#include <vector>

using namespace bitdotio;
using namespace std::string_literals;

namespace {

struct listed final : multipart {
    using multipart::multipart;
    std::string text;

    void begin_part(const std::string& name, const std::optional<std::string>& file) override {
        text += "<" + name + (file ? "|" + *file : "") + ">";
    }
    void part_data(std::string_view piece) override { text += piece; }
};

// Fed in pieces of each possible size.
std::string parts_of(const std::string& content_type, const std::string& body) {
    std::string first;
    for (std::size_t size = 1; size <= body.size(); ++size) {
        listed form(content_type);
        for (std::size_t i = 0; i < body.size(); i += size)
            form.feed(body.substr(i, size));
        form.finish();
        if (size == 1) first = form.text;
        CHECK(form.text == first);
    }
    return first;
}

const std::string boundary_type = "multipart/form-data; boundary=\"B\"";

std::string file_content(const std::filesystem::path& file) {
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
}

}  // namespace

TEST_CASE("a form is taken apart, however its bytes are cut") {
    CHECK(parts_of(boundary_type,
                   "preamble\r\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B"
                   "\r\nContent-Type: text/csv\r\ncontent-disposition: form-data; name=file; "
                   "filename=\"x;\\\"y\\\".csv\"\r\n\r\n\r\n--Bx\r\n--\r\n\r\n--B--\r\nepilogue") ==
          "<a>1<file|x;\"y\".csv>\r\n--Bx\r\n--\r\n");
    CHECK(parts_of("multipart/form-data; charset=utf-8; boundary=B",
                   "--B  \r\nContent-Disposition: form-data; name=\"e\"\r\n\r\n\r\n--B--") ==
          "<e>");
}

TEST_CASE("what is no form is refused") {
    CHECK_THROWS_AS(listed("multipart/form-data"), error);
    CHECK_THROWS_AS(listed("multipart/form-data; boundary=" + std::string(71, 'x')), error);
    const auto refused = [](const std::string& body) {
        listed form(boundary_type);
        form.feed(body);
        form.finish();
    };
    CHECK_THROWS_WITH_AS(refused("--B\r\nContent-Disposition: form-data; name=a\r\n\r\n1"),
                         "the form is malformed: it ends before its last boundary", error);
    CHECK_THROWS_AS(refused("--B\r\nContent-Type: x\r\n\r\n1\r\n--B--"), error);
    CHECK_THROWS_AS(refused("--B\r\n" + std::string(20'000, 'x')), error);
}

TEST_CASE("an import's form says table, header and file, and its file is on disk") {
    const test::temporary_directory directory;
    const std::string body =
        "--B\r\nContent-Disposition: form-data; name=\"table_name\"\r\n\r\npeople\r\n"
        "--B\r\nContent-Disposition: form-data; name=\"infer_header\"\r\n\r\nheader\r\n"
        "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"p.csv\"\r\n\r\na,b\n\r\n"
        "--B--\r\n";
    import_form form(boundary_type, directory / "file", 4);
    form.feed(body);
    form.finish();
    CHECK(form.options().table_name == "people");
    CHECK(form.options().schema_name == "public");
    CHECK(form.options().header == header_row::first_row);
    CHECK(form.file_name() == "p.csv");
    CHECK(file_content(directory / "file") == "a,b\n");

    import_form small(boundary_type, directory / "file", 3);
    CHECK_THROWS_AS(small.feed(body), form_too_large);
}

TEST_CASE("a form of nothing but names is refused before it fills the memory") {
    const test::temporary_directory directory;
    import_form form(boundary_type, directory / "file", 10);
    const auto feed = [&](int parts) {
        for (int i = 0; i < parts; ++i) {
            form.feed("--B\r\nContent-Disposition: form-data; name=\"" + std::to_string(i) +
                      std::string(1'000, 'x') + "\"\r\n\r\n\r\n");
        }
    };
    feed(60);
    CHECK_THROWS_WITH_AS(feed(10), "the fields of the form are too long", error);
}

TEST_CASE("a file full of what is nearly a boundary arrives whole") {
    const test::temporary_directory directory;
    std::string content;
    for (int i = 0; i < 40'000; ++i)
        content += "\r\n--Bx";
    import_form form(boundary_type, directory / "file", content.size());
    form.feed("--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n" +
              content + "\r\n--B--\r\n");
    CHECK_THROWS_AS(form.options(), api::malformed_body);
    form.finish();
    CHECK(file_content(directory / "file") == content);
}

TEST_CASE("a form that lacks something, or has too much, is refused by the field's name") {
    const test::temporary_directory directory;
    const auto field_of = [&](const std::string& body) {
        try {
            import_form form("application/x-www-form-urlencoded", directory / "file", 10);
            form.feed(body);
            form.finish();
            form.options();
        } catch (const api::malformed_body& failure) {
            return failure.field();
        }
        return "none"s;
    };
    CHECK(field_of("table_name=a+b%26&file_url=http%3A%2F%2Fx%2F") == "none");
    CHECK(field_of("file_url=http%3A%2F%2Fx%2F") == "table_name");
    CHECK(field_of("table_name=t") == "file");
    CHECK(field_of("table_name=t&file_url=x&infer_header=maybe") == "infer_header");
    CHECK_THROWS_WITH_AS(field_of("table_name=" + std::string(64, 'x') + "&file_url=x"),
                         doctest::Contains("64 bytes"), error);
    CHECK_THROWS_WITH_AS(field_of("table_name=%ff&file_url=x"), doctest::Contains("UTF-8"), error);
    CHECK_THROWS_AS(import_form("application/json", directory / "file", 10), error);
}

TEST_CASE("a form whose job could not be read again after a restart is refused") {
    const test::temporary_directory directory;
    import_form fetched("application/x-www-form-urlencoded", directory / "file", 10);
    fetched.feed("table_name=t&file_url=http%3A%2F%2Fx%2F%ff");
    CHECK_THROWS_WITH_AS(fetched.finish(), "field \"file_url\" is not UTF-8", api::malformed_body);

    import_form sent(boundary_type, directory / "file", 10);
    sent.feed(
        "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\xff.csv\"\r\n\r\na"
        "\r\n--B--\r\n");
    CHECK_THROWS_WITH_AS(sent.finish(), "the name of the file is not UTF-8", api::malformed_body);
}

TEST_CASE("a range is a part of the file, or none can be") {
    using kind = range_answer::kind;
    const auto check = [](const char* header, kind what, std::uint64_t begin,
                          std::uint64_t length) {
        CAPTURE(header);
        const range_answer answer = read_range(header, 1'000);
        CHECK(answer.what == what);
        if (what != kind::unsatisfiable) CHECK(answer.range == byte_range{begin, length});
    };
    check("bytes=0-499", kind::part, 0, 500);
    check("bytes=500-", kind::part, 500, 500);
    check("bytes=-1", kind::part, 999, 1);
    check("bytes=-2000", kind::part, 0, 1'000);
    check("bytes=999-5000", kind::part, 999, 1);
    check("bytes=0-99999999999999999999999", kind::part, 0, 1'000);
    check("bytes=1000-", kind::unsatisfiable, 0, 0);
    check("bytes=-0", kind::unsatisfiable, 0, 0);
    for (const char* none :
         {"", "bytes=5-4", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1", "bytes=-", "bytes=5-x"}) {
        check(none, kind::whole, 0, 1'000);
    }
    CHECK(read_range("bytes=0-", 0).what == kind::unsatisfiable);
}

TEST_CASE("only addresses of the public internet are public") {
    for (const char* address : {"8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "192.0.1.1",
                                "100.63.0.1", "223.255.255.255", "2606:4700::1111"}) {
        CAPTURE(address);
        CHECK(is_public(boost::asio::ip::make_address(address)));
    }
    for (const char* address : {"0.0.0.0",
                                "10.1.2.3",
                                "100.64.0.1",
                                "127.0.0.1",
                                "127.255.0.9",
                                "169.254.169.254",
                                "172.16.0.1",
                                "172.31.255.255",
                                "192.168.1.1",
                                "198.18.0.1",
                                "224.0.0.1",
                                "255.255.255.255",
                                "::",
                                "::1",
                                "::ffff:127.0.0.1",
                                "::ffff:8.8.8.8",
                                "64:ff9b::7f00:1",
                                "fc00::1",
                                "fd12::1",
                                "fe80::1",
                                "ff02::1",
                                "2001:db8::1",
                                "2001::1",
                                "2002:7f00:1::"}) {
        CAPTURE(address);
        CHECK_FALSE(is_public(boost::asio::ip::make_address(address)));
    }
}

TEST_CASE("an address of the web is taken apart, and its redirects lead on") {
    const web_address first = web_address::parse("http://host:81/a/b.csv?x=/y#part");
    CHECK(first.host == "host");
    CHECK(first.port == "81");
    CHECK(first.target == "/a/b.csv?x=/y");
    CHECK(first.file_name() == "b.csv");
    CHECK(first.redirected("c%20d").target == "/a/c%20d");
    CHECK(first.redirected("/z?q").target == "/z?q");
    CHECK(first.redirected("//other/z").host == "other");
    CHECK(first.redirected("https://other").port == "443");
    CHECK(web_address::parse("https://[::1]?x").host == "::1");
    CHECK(web_address::parse("https://[::1]?x").target == "/?x");
    for (const char* malformed :
         {"ftp://x/", "file:///etc/passwd", "http://", "http://u:p@x/", "http://x:0/",
          "http://x:99999/", "http://x/a b", "http://x/\r\nHost: y", "x", "http:\\\\x"}) {
        CAPTURE(malformed);
        CHECK_THROWS_AS(web_address::parse(malformed), error);
    }
    CHECK_THROWS_AS(first.redirected("gopher://x/"), error);
}

TEST_CASE("a link opens one file, until its time is over, and cannot be made by others") {
    const test::temporary_directory directory;
    const download_link links = download_link::open(directory / "secret");
    using verdict = download_link::verdict;
    const download_link::time noon{std::chrono::seconds(1'000'000)};
    const std::string query = links.sign("job", noon);
    CHECK(links.check("job", query, noon - std::chrono::seconds(1)) == verdict::good);
    CHECK(links.check("job", query, noon) == verdict::expired);
    CHECK(links.check("other", query, noon - std::chrono::seconds(1)) == verdict::forged);
    CHECK(links.check("job", "", noon) == verdict::forged);
    std::string later = query;
    later.replace(later.find("1000000"), 7, "9000000");
    CHECK(links.check("job", later, noon) == verdict::forged);

    // The same secret after a restart, another one in another directory, and private to its user.
    CHECK(download_link::open(directory / "secret").sign("job", noon) == query);
    CHECK(download_link::open(directory / "another").sign("job", noon) != query);
    CHECK(std::filesystem::status(directory / "secret").permissions() ==
          (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
}

TEST_CASE("a job's record is read as it was written, and so are its bodies") {
    job_record record;
    record.id = "1";
    record.kind = job_kind::export_;
    record.user = "u";
    record.database_id = "2";
    record.state = job_state::failed;
    record.retries = 3;
    record.error_type = "t";
    record.error_id = "e";
    record.error_message = "m\n";
    record.date_created = std::chrono::sys_days(std::chrono::year(2024) / 5 / 6);
    record.export_.query = "SELECT '\"'";
    record.export_.format = export_format::parquet;
    const job_record read = job_record::from_json(record.to_json());
    CHECK(read.to_json() == record.to_json());
    CHECK(read.export_.query == record.export_.query);
    CHECK_THROWS_AS(job_record::from_json("{}"), error);

    export_job shown;
    static_cast<job_status&>(shown) = record;
    shown.format = export_format::xls;
    shown.download_url = "https://x";
    CHECK(api::decode_export_job(api::encode(shown)) == shown);
    shown.state = job_state::done;  // A server may tell details of a job that has not failed.
    CHECK(api::decode_export_job(api::encode(shown)) == shown);
    import_job taken;
    taken.id = "5";
    CHECK(api::decode_import_job(api::encode(taken)) == taken);
    CHECK(api::encode(taken).find("\"error_details\":null") != std::string::npos);

    export_options wanted;
    wanted.table_name = "t";
    CHECK(api::decode_export_options(api::encode(wanted)).table_name == "t");
    CHECK_THROWS_AS(api::decode_export_options("{}"), api::malformed_body);
    for (const char* body : {R"({"export_format": "csv"})", R"({"table_name": "t"})",
                             R"({"table_name": "t", "query_string": "q", "export_format": "csv"})",
                             R"({"table_name": "t", "export_format": "doc"})",
                             R"({"table_name": "t", "export_format": "CSV"})",
                             R"({"table_name": "t", "export_format": ""})",
                             R"({"table_name": "t", "export_format": null})",
                             R"({"table_name": "t", "export_format": 1})"}) {
        CAPTURE(body);
        CHECK_THROWS_AS(api::decode_export_options(body), api::malformed_body);
    }
}

TEST_CASE("the statement of an export is what remains without semicolons and comments around it") {
    for (const char* text :
         {"select 1", "select 1;", " \n;; select 1 ; -- x", "/* a; */select 1/* /* b */ ; */;",
          "--;\nselect 1--;\n;", "select 1 -- x\r\n;\r\n", "select 1; -- it's"}) {
        CAPTURE(text);
        CHECK(only_statement(text) == "select 1");
    }
    for (const char* text :
         {"select ';--'", "select $a$; select 2$a$", "select \"a;b\"", "select E'\\'; x'",
          "select '\\'", "select 1 -- x\n + 2", "select 1 /* a */ + 2", "select 1 -- x\rfrom t",
          "select a[1:2]::text"}) {
        CAPTURE(text);
        CHECK(only_statement(text) == text);
        CHECK(only_statement(text + "\n;-- x"s) == text);
    }
    for (const char* text : {"", " ", ";", "-- x", "/* x */ ;", "select 1; select 2",
                             "select 1;/**/;x", "select ';'; select 2 -- ;"}) {
        CAPTURE(text);
        CHECK_THROWS_WITH_AS(only_statement(text), doctest::Contains("statement"), error);
    }
    // PostgreSQL decides where a string ends whose backslash may be an escape.
    CHECK(only_statement("select 'it\\'; x'") == "select 'it\\'; x'");
    const std::string many = "select E" + std::string(1'000'000, '\'');
    CHECK(only_statement(many + ";") == many);
}

TEST_CASE("dates and times of PostgreSQL become numbers") {
    const auto days = [](const char* text) { return days_since_1970(read_date(text).value()); };
    CHECK(days("1970-01-01") == 0);
    CHECK(days("2024-02-29") == 19'782);
    CHECK(days("1969-12-31") == -1);
    CHECK(days("0001-12-31 BC") == -719'163);
    CHECK(days("5874897-12-31") == 2'145'042'905);
    CHECK_FALSE(read_date("infinity"));
    CHECK(read_timestamp("2024-05-06 01:00:00.5+00")->microseconds == 3'600'500'000);
    CHECK_FALSE(read_timestamp("-infinity"));
}
