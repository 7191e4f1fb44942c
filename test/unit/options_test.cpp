// Options: their checks and presets, and where a client's come from.
#include <bitdotio/client_options.hpp>
#include <bitdotio/error.hpp>

#include "service/profile.hpp"
#include "support/child.hpp"
#include "support/environment.hpp"
#include "support/text.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace bitdotio;
using namespace std::chrono_literals;
using test::mentions;
using test::scoped_variable;

// The message of a call that must fail as bad input.
template <class Call>
std::string complaint(Call call) {
    try {
        call();
    } catch (const error& failure) {
        CHECK(failure.code() == errc::bad_input);
        return failure.what();
    }
    return "";
}

// An environment for a test: no variable of ours is set except those it sets, and the profile, if
// it writes one, is where the environment says.
class world {
public:
    world() {
        for (const std::string name :
             {"BITIO_KEY", "BITIO_API_URL", "BITIO_PG_HOST", "BITIO_PG_PORT", "BITIO_CA_FILE",
              "XDG_CONFIG_HOME", "HOME"}) {
            set(name, std::nullopt);
        }
        set("BITIO_PROFILE", file().string());
    }

    void set(const std::string& name, const std::optional<std::string>& value) {
        variables_.push_back(std::make_unique<scoped_variable>(name, value));
    }

    // Restored in reverse order, so that the first value comes back last.
    ~world() {
        while (!variables_.empty())
            variables_.pop_back();
    }
    world(const world&) = delete;
    world& operator=(const world&) = delete;

    void write_profile(const std::string& name = "profile.json") const {
        bitdotio::write_profile(directory_.path() / name, sample());
    }
    std::filesystem::path file(const std::string& name = "profile.json") const {
        return directory_.path() / name;
    }

    static profile sample() {
        profile all;
        all.api_url = "https://profile:1";
        all.postgres_host = "profile.pg";
        all.postgres_port = 1001;
        all.ca_file = "/profile/ca.pem";
        all.key = "v2_profile";
        return all;
    }

private:
    test::temporary_directory directory_;
    std::vector<std::unique_ptr<scoped_variable>> variables_;
};

void set_all(world& here) {
    here.set("BITIO_KEY", "v2_environment");
    here.set("BITIO_API_URL", "https://environment:2");
    here.set("BITIO_PG_HOST", "environment.pg");
    here.set("BITIO_PG_PORT", "1002");
    here.set("BITIO_CA_FILE", "/environment/ca.pem");
}

client_options explicit_options() {
    client_options options;
    options.key.emplace("v2_explicit");
    options.api_url = "https://explicit:3";
    options.postgres_host = "explicit.pg";
    options.postgres_port = 1003;
    options.ca_file = "/explicit/ca.pem";
    return options;
}

void check_from(const client_options& options, const std::string& source, std::uint16_t port,
                int number) {
    REQUIRE(options.key);
    CHECK(options.key->reveal() == "v2_" + source);
    CHECK(options.api_url == "https://" + source + ":" + std::to_string(number));
    CHECK(options.postgres_host == source + ".pg");
    CHECK(options.postgres_port == port);
    CHECK(options.ca_file == "/" + source + "/ca.pem");
}

TEST_CASE("a pool's defaults and its preset for databases that sleep are fit to be used") {
    CHECK_NOTHROW(pool_options().check());
    CHECK_NOTHROW(pool_options::serverless().check());
}

TEST_CASE("the preset for databases that sleep only closes idle connections sooner") {
    const pool_options preset = pool_options::serverless();
    const pool_options usual;
    CHECK(preset.idle_timeout == 120s);
    CHECK(preset.idle_timeout < usual.idle_timeout);
    CHECK(usual.idle_timeout < 5min);  // the service's own
    CHECK(preset.min_size == 0);
    CHECK(preset.min_size == usual.min_size);
    CHECK(preset.max_size == usual.max_size);
    CHECK(preset.acquire_timeout == usual.acquire_timeout);
}

TEST_CASE("a pool's options out of range are refused by name with the range") {
    struct row {
        void (*change)(pool_options&);
        const char* said;
    };
    const row table[] = {
        {[](pool_options& o) { o.max_size = 0; }, "min_size (0) must be less than max_size (0)"},
        {[](pool_options& o) { o.min_size = o.max_size = 7; },
         "min_size (7) must be less than max_size (7)"},
        {[](pool_options& o) { o.min_size = 101; },
         "min_size (101) must be less than max_size (100)"},
        {[](pool_options& o) { o.acquire_timeout = 0ms; }, "acquire_timeout must be above 0 ms"},
        {[](pool_options& o) { o.acquire_timeout = -1ms; }, "acquire_timeout must be above 0 ms"},
        {[](pool_options& o) { o.idle_timeout = 0ms; }, "idle_timeout must be above 0 ms"},
        {[](pool_options& o) { o.return_timeout = -5ms; }, "return_timeout must be above 0 ms"},
        {[](pool_options& o) { o.max_connecting = 0; }, "max_connecting must be at least 1"},
    };
    for (const row& one : table) {
        pool_options options;
        one.change(options);
        CHECK(complaint([&] { options.check(); }) == std::string("pool_options: ") + one.said);
    }
}

TEST_CASE("a pool's options at the edge of their range are taken") {
    void (*const table[])(pool_options&) = {
        [](pool_options& o) { o.min_size = 99; },
        [](pool_options& o) { o.max_size = 1; },
        [](pool_options& o) { o.acquire_timeout = 1ms; },
        [](pool_options& o) { o.acquire_timeout = std::nullopt; },
        [](pool_options& o) { o.max_waiters = 0; },
        [](pool_options& o) { o.max_connecting = 1; },
    };
    for (const auto change : table) {
        pool_options options;
        change(options);
        CHECK_NOTHROW(options.check());
    }
}

TEST_CASE("what is set explicitly goes before the environment and the profile") {
    world here;
    here.write_profile();
    set_all(here);
    check_from(explicit_options().resolved(), "explicit", 1003, 3);
}

TEST_CASE("the environment goes before the profile") {
    world here;
    here.write_profile();
    set_all(here);
    check_from(client_options().resolved(), "environment", 1002, 2);
}

TEST_CASE("the profile fills in what nobody else says") {
    world here;
    here.write_profile();
    check_from(client_options().resolved(), "profile", 1001, 1);
}

TEST_CASE("a key from elsewhere goes with the profile's addresses") {
    world here;
    here.write_profile();
    here.set("BITIO_KEY", "v2_environment");
    const client_options options = client_options().resolved();
    CHECK(options.key->reveal() == "v2_environment");
    CHECK(options.api_url == "https://profile:1");
    CHECK(options.ca_file == "/profile/ca.pem");
}

TEST_CASE("the profile's key and authority follow no address from elsewhere") {
    const std::map<std::string, std::string> elsewhere = {
        {"BITIO_API_URL", "https://elsewhere:4"},
        {"BITIO_PG_HOST", "elsewhere.pg"},
        {"BITIO_PG_PORT", "1004"},
    };
    for (const auto& [name, value] : elsewhere) {
        CAPTURE(name);
        world here;
        here.write_profile();
        here.set(name, value);
        CHECK(mentions(complaint([] { client_options().resolved(); }), "no API key"));
        client_options options = explicit_options();
        options.ca_file.clear();
        CHECK(options.resolved().ca_file.empty());
    }
}

TEST_CASE("an address that is the profile's own takes the profile's key") {
    world here;
    here.write_profile();
    client_options options;
    options.api_url = "https://profile:1";
    options.postgres_port = 1001;
    check_from(options.resolved(), "profile", 1001, 1);
}

TEST_CASE("a profile named in the options goes before the one of the environment") {
    world here;
    here.write_profile("other.json");
    client_options options;
    options.profile_file = here.file("other.json").string();
    CHECK(options.resolved().key->reveal() == "v2_profile");
}

TEST_CASE("an environment that says it all needs no profile, not even a readable one") {
    world here;
    std::ofstream(here.file()) << "no profile";
    set_all(here);
    CHECK_NOTHROW(client_options().resolved());
}

TEST_CASE("a malformed profile is an error where it would be used") {
    world here;
    std::ofstream(here.file()) << "no profile";
    std::filesystem::permissions(here.file(), std::filesystem::perms::owner_read);
    CHECK(mentions(complaint([] { client_options().resolved(); }), here.file().string()));
}

TEST_CASE("without a key the error names the variable and the profile that was looked for") {
    world here;
    const std::string said = complaint([] { client_options().resolved(); });
    CHECK(mentions(said, "BITIO_KEY"));
    CHECK(mentions(said, here.file().string()));
}

TEST_CASE("without an address of the API the error names the variable") {
    world here;
    here.set("BITIO_KEY", "v2_sesame");
    const std::string said = complaint([] { client_options().resolved(); });
    CHECK(mentions(said, "BITIO_API_URL"));
    CHECK_FALSE(mentions(said, "sesame"));
}

TEST_CASE("without any home directory nothing is looked for and the error still helps") {
    world here;
    here.set("BITIO_PROFILE", std::nullopt);
    CHECK(mentions(complaint([] { client_options().resolved(); }), "BITIO_KEY"));
}

TEST_CASE("addresses of PostgreSQL may stay unknown: the HTTP API needs none") {
    world here;
    client_options options;
    options.key.emplace("v2_explicit");
    options.api_url = "https://explicit:3";
    const client_options all = options.resolved();
    CHECK(all.postgres_host.empty());
    CHECK(all.postgres_port == 0);
    CHECK(all.ca_file.empty());
}

TEST_CASE("a port of the environment that is no port is refused by name") {
    for (const std::string text : {"0", "65536", "-1", "x", "5432x", " 5432", "1e3"}) {
        CAPTURE(text);
        world here;
        here.set("BITIO_PG_PORT", text);
        const std::string said = complaint([] { client_options().resolved(); });
        CHECK(mentions(said, "BITIO_PG_PORT"));
        CHECK(mentions(said, "\"" + text + "\""));
    }
}

TEST_CASE("a malformed key of the environment is refused without repeating it") {
    world here;
    here.set("BITIO_KEY", "sesame");
    const std::string said = complaint([] { client_options().resolved(); });
    CHECK(mentions(said, "the API key is malformed"));
    CHECK_FALSE(mentions(said, "sesame"));
}

TEST_CASE("resolving keeps every other option and leaves the original alone") {
    world here;
    here.write_profile();
    client_options options;
    options.user_agent = "mine/1";
    options.request_timeout = 5s;
    options.retry.max_attempts = 9;
    options.pool.max_size = 3;
    options.connect.statement_timeout = 7s;
    const client_options all = options.resolved();
    CHECK(all.user_agent == "mine/1");
    CHECK(all.request_timeout == 5s);
    CHECK(all.retry.max_attempts == 9);
    CHECK(all.pool.max_size == 3);
    CHECK(all.connect.statement_timeout == 7s);
    CHECK_FALSE(options.key);
    CHECK(options.api_url.empty());
}

}  // namespace
