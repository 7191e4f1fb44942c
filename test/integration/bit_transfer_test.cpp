// Files from addresses, files that must not be written over, and transfers that are interrupted.
#include "server/tls/tls_identity.hpp"
#include "support/bit_program.hpp"
#include "support/child.hpp"
#include "support/environment.hpp"
#include "support/stalling_relay.hpp"
#include "support/terminal_child.hpp"
#include "support/text.hpp"
#include "support/web_server.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/json.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace fs = std::filesystem;
using test::contents;
using test::mentions;

bitdotio::local_server_options open_to_this_machine() {
    bitdotio::local_server_options options;
    options.allow_private_urls = true;
    options.largest_import = 4'000'000;
    return options;
}

struct service : test::profiled_server {
    explicit service(bitdotio::local_server_options options = open_to_this_machine())
        : profiled_server(BIT_PROGRAM, std::move(options)),
          name(server.create_database("files").full()) {}

    std::string value(const std::string& sql) const {
        return bit({"query", "-d", name, "--format", "values", "-q", sql}).out;
    }
    // Where bit reaches the API and the Postgres endpoint by other ports.
    std::map<std::string, std::string> by_way_of(std::uint16_t api, std::uint16_t postgres) const {
        return {{"BITIO_KEY", server.key().reveal()},
                {"BITIO_API_URL", "https://127.0.0.1:" + std::to_string(api)},
                {"BITIO_PG_HOST", "127.0.0.1"},
                {"BITIO_PG_PORT", std::to_string(postgres)},
                {"BITIO_CA_FILE", server.ca_file()}};
    }

    std::string name;
};

// Sets a flag however a test ends: a thread that waits for it is joined then.
class set_at_end {
public:
    explicit set_at_end(std::atomic<bool>& flag) : flag_(flag) {}
    ~set_at_end() { flag_ = true; }
    set_at_end(const set_at_end&) = delete;
    set_at_end& operator=(const set_at_end&) = delete;

private:
    std::atomic<bool>& flag_;
};

void wait_until(const std::atomic<bool>& so) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!so) {
        REQUIRE(std::chrono::steady_clock::now() < deadline);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

void wait_until_stalled(const test::stalling_relay& relay) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!relay.stalled()) {
        REQUIRE(std::chrono::steady_clock::now() < deadline);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

void write_rows(const fs::path& file, int count) {
    std::ofstream out(file);
    for (int i = 0; i < count; ++i)
        out << i << ",a row that takes some room on its way to the server\n";
}

}  // namespace

TEST_CASE("an import fetches a file from an address, through redirections, up to a size") {
    const test::web_server web([&](const std::string& line) {
        const auto asks = [&](const std::string& path) {
            return line.starts_with("GET " + path + " ");
        };
        if (asks("/people.csv")) return test::web_file("name,age\nAlice,45\n");
        if (asks("/moved")) return test::web_redirect("/people.csv");
        if (asks("/round")) return test::web_redirect("/round");
        if (asks("/big.csv")) {
            std::string rows = "n\n";
            for (int i = 0; i < 300'000; ++i)
                rows += std::to_string(i) + "\n";
            return test::web_file(rows);
        }
        if (asks("/huge.csv")) return test::web_file(std::string(5'000'000, 'x'));
        return std::string("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    });
    const service running;
    const auto import = [&](const std::string& path, const std::string& table) {
        return running.bit({"import", "-d", running.name, web.url(path), "--table", table});
    };
    for (const std::string path : {"/people.csv", "/moved"}) {
        const std::string table = "t" + path.substr(1, 2);
        const auto done = import(path, table);
        CHECK_MESSAGE(done.status == 0, done.err);
        CHECK(mentions(done.out, "\"DONE\""));
        CHECK(running.value("SELECT name, age FROM " + table) == "Alice\t45\n");
    }
    const auto big = import("/big.csv", "big");
    CHECK_MESSAGE(big.status == 0, big.err);
    CHECK(running.value("SELECT count(*), sum(n) FROM big") == "300000\t44999850000\n");

    for (const auto& [path, why] : {std::pair("/missing", "status 404"),
                                    {"/round", "more than 5 times"},
                                    {"/huge.csv", "4000000 bytes"}}) {
        const auto failed = import(path, "none");
        CHECK(failed.status == 3);
        CHECK_MESSAGE(mentions(failed.err, "the import failed"), failed.err);
        CHECK_MESSAGE(mentions(failed.err, why), failed.err);
    }
    CHECK(running.bit({"import", "-d", running.name, web.url("/people.csv")}).status == 2);
    CHECK(running.bit({"import", "-d", running.name, "ftp://x/y.csv", "--table", "t"}).status == 2);
}

TEST_CASE("an import fetches from an https address that an authority of the machine vouches for") {
    const test::temporary_directory directory;
    const auto known = bitdotio::open_tls_identity(directory / "known", "127.0.0.1");
    const auto stranger = bitdotio::open_tls_identity(directory / "stranger", "127.0.0.1");
    const auto people = [](const std::string&) { return test::web_file("name,age\nAda,36\n"); };
    const test::web_server web(people, known.certificate_file, known.key_file);
    const test::web_server other(people, stranger.certificate_file, stranger.key_file);
    const test::scoped_variable trusted("SSL_CERT_FILE", known.ca_file.string());
    const service running;
    const auto import = [&](const test::web_server& from) {
        return running.bit({"import", "-d", running.name, from.url("/people.csv"), "--table", "p"});
    };
    const auto refused = import(other);
    CHECK(refused.status == 3);
    CHECK_MESSAGE(mentions(refused.err, "cannot be fetched from 127.0.0.1: TLS"), refused.err);
    const auto done = import(web);
    CHECK_MESSAGE(done.status == 0, done.err);
    CHECK(running.value("SELECT name, age FROM p") == "Ada\t36\n");
}

TEST_CASE("Ctrl-C leaves an import whose address hangs to the server, and tells its id") {
    std::atomic<bool> asked{false};
    std::atomic<bool> over{false};
    const test::web_server web([&](const std::string&) {
        asked = true;
        while (!over)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        return test::web_file("a\n1\n");
    });
    const service running;
    const set_at_end released(over);
    test::terminal_child bit(
        {BIT_PROGRAM, "import", "-d", running.name, web.url("/hung.csv"), "--table", "t"},
        running.environment(), 200);
    bit.read_until("importing: ");
    wait_until(asked);
    bit.type("\x03");
    const auto ended = bit.wait();
    over = true;
    CHECK(ended.status == 130);
    const std::string tells = "interrupted; the job goes on at the server: bit status ";
    REQUIRE_MESSAGE(mentions(ended.out, tells), ended.out);
    std::string id = ended.out.substr(ended.out.find(tells) + tells.size());
    id.resize(id.find('\n'));
    const auto status = running.bit({"status", id});
    CHECK_MESSAGE(mentions(status.out, id), status.err);
}

TEST_CASE("Ctrl-C ends transfers with a server that falls silent on the way") {
    const service running;
    const fs::path rows = running.directory.path() / "rows.csv";
    write_rows(rows, 60'000);
    CHECK(running.bit({"query", "-d", running.name, "-q", "CREATE TABLE t (n int, text text)"})
              .status == 0);
    CHECK(running.bit({"copy-in", "-d", running.name, "t", rows.string()}).status == 0);
    const fs::path out = running.directory.path() / "out.csv";
    struct transfer {
        std::vector<std::string> words;
        bool sends;
    };
    for (const transfer& one :
         std::vector<transfer>{{{"import", rows.string(), "--table", "imported"}, true},
                               {{"export", "--table", "t", out.string()}, false},
                               {{"copy-in", "t", rows.string()}, true},
                               {{"copy-out", "t", out.string()}, false}}) {
        CAPTURE(one.words[0]);
        const std::size_t most = 500'000;
        const std::size_t client = one.sends ? most : test::stalling_relay::endless;
        const std::size_t server = one.sends ? test::stalling_relay::endless : most;
        const test::stalling_relay api(running.server.api_port(), client, server);
        const test::stalling_relay postgres(running.server.postgres_port(), client, server);
        std::vector<std::string> words = {BIT_PROGRAM};
        words.insert(words.end(), one.words.begin(), one.words.end());
        words.insert(words.end(), {"-d", running.name});
        test::child bit(words, running.by_way_of(api.port(), postgres.port()));
        wait_until_stalled(one.words[0].starts_with("copy") ? postgres : api);
        bit.send(SIGINT);
        const auto ended = bit.wait();
        CHECK_MESSAGE(ended.status == 130, ended.err);
        CHECK_MESSAGE(mentions(ended.err, "interrupted"), ended.err);
    }
    CHECK(running.value("SELECT count(*) FROM t") == "60000\n");
    // Nothing that was being written beside its place is left.
    for (const auto& each : fs::directory_iterator(running.directory.path()))
        CHECK_FALSE(mentions(each.path().string(), ".part"));
}

TEST_CASE("Ctrl-C ends transfers with a server that never says a word") {
    boost::asio::io_context io;
    const boost::asio::ip::tcp::acceptor silent(io,
                                                {boost::asio::ip::make_address("127.0.0.1"), 0});
    const std::string port = std::to_string(silent.local_endpoint().port());
    const std::map<std::string, std::string> place = {
        {"BITIO_KEY", "v2_any"},
        {"BITIO_DATABASE", "a/b"},
        {"BITIO_API_URL", "https://127.0.0.1:" + port},
        {"BITIO_PG_HOST", "127.0.0.1"},
        {"BITIO_PG_PORT", port}};
    const test::temporary_directory directory;
    const std::string file = (directory / "rows.csv").string();
    write_rows(file, 10);
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"copy-in", "t", file}, {"copy-out", "t", "-"}}) {
        CAPTURE(words[0]);
        std::vector<std::string> all = {BIT_PROGRAM};
        all.insert(all.end(), words.begin(), words.end());
        test::terminal_child bit(all, place, 200);
        bit.read_until("waiting for a/b to wake");
        bit.type("\x03");
        CHECK(bit.wait().status == 130);
    }
}

TEST_CASE("Ctrl-C while standard input is read ends with 130, and sends nothing") {
    const service running;
    test::terminal_child bit({BIT_PROGRAM, "import", "-", "-d", running.name, "--table", "half"},
                             running.environment(), 200);
    bit.type("a\r1\r");
    bit.read_until("reading standard input");
    bit.type("\x03");
    const auto ended = bit.wait();
    CHECK(ended.status == 130);
    CHECK_MESSAGE(mentions(ended.out, "interrupted"), ended.out);
    test::terminal_child query({BIT_PROGRAM, "query", "-d", running.name, "-qf", "-"},
                               running.environment(), 200);
    query.type("SELECT 1\r");
    query.read_until("SELECT 1\r\n");
    query.type("\x03");
    CHECK(query.wait().status == 130);
    CHECK(running.value("SELECT count(*) FROM pg_tables WHERE tablename = 'half'") == "0\n");
}

TEST_CASE("an export without a name takes none that is there, and none that leads elsewhere") {
    const service running;
    const std::string directory = (running.directory.path() / "downloads").string();
    fs::create_directory(directory);
    const auto in_directory = [&](const std::string& table, const std::string& more = "") {
        test::terminal_child bit(
            {"sh", "-c",
             "cd '" + directory + "' && exec '" + BIT_PROGRAM + "' export -d " + running.name +
                 " --table \"$table\" " + more},
            [&] {
                auto variables = running.environment();
                variables["table"] = table;
                return variables;
            }(),
            200);
        return bit.wait();
    };
    for (const std::string table : {"people", "-rf", ".profile", "../up", "a\x1b[2Jb"}) {
        CHECK(running
                  .bit({"query", "-d", running.name, "-q",
                        "CREATE TABLE \"" + table + "\" AS SELECT 7 AS seven"})
                  .status == 0);
    }
    const auto first = in_directory("people");
    CHECK(first.status == 0);
    CHECK_MESSAGE(mentions(first.out, "wrote people.csv"), first.out);
    CHECK(contents(directory + "/people.csv") == "seven\n7\n");

    std::ofstream(directory + "/people.csv") << "mine";
    const auto second = in_directory("people");
    CHECK(second.status == 2);
    CHECK_MESSAGE(mentions(second.out, "people.csv is there already"), second.out);
    CHECK(contents(directory + "/people.csv") == "mine");
    CHECK(in_directory("people", "--overwrite").status == 0);
    CHECK(contents(directory + "/people.csv") == "seven\n7\n");

    for (const std::string table : {"-rf", ".profile"}) {
        const auto odd = in_directory(table);
        CHECK_MESSAGE(mentions(odd.out, "wrote export.csv"), odd.out);
        CHECK(fs::remove(directory + "/export.csv"));
    }
    CHECK(in_directory("../up").status == 0);
    CHECK_FALSE(fs::exists(running.directory.path() / "up.csv"));
    CHECK_FALSE(mentions(in_directory("a\x1b[2Jb").out, "\x1b[2J"));
}
