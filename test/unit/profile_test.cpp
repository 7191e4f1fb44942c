// The profile on disk: what is written, who may read it, what is refused.
#include "service/profile.hpp"

#include <bitdotio/error.hpp>

#include "support/child.hpp"
#include "support/environment.hpp"
#include "support/text.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace bitdotio;
namespace fs = std::filesystem;
using test::mentions;
using test::scoped_variable;
using test::temporary_directory;

profile sample() {
    profile all;
    all.api_url = "https://localhost:1";
    all.postgres_host = "localhost";
    all.postgres_port = 65535;
    all.ca_file = "/somewhere/ca \"1\".pem";
    all.key = "v2_sesame";
    return all;
}

bool same(const profile& a, const profile& b) {
    return a.api_url == b.api_url && a.postgres_host == b.postgres_host &&
           a.postgres_port == b.postgres_port && a.ca_file == b.ca_file && a.key == b.key;
}

unsigned mode(const fs::path& file) {
    struct stat info {};
    REQUIRE(::stat(file.c_str(), &info) == 0);
    return info.st_mode & 07777;
}

// A file as `write_profile` would leave it, with any content.
void write(const fs::path& file, const std::string& text, fs::perms allowed = fs::perms(0600)) {
    std::ofstream(file) << text;
    fs::permissions(file, allowed);
}

std::string read(const fs::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
}

template <class Call>
std::string complaint(errc code, Call call) {
    try {
        call();
    } catch (const error& failure) {
        CHECK(failure.code() == code);
        return failure.what();
    }
    return "";
}

std::vector<std::string> names_in(const fs::path& directory) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory)) {
        names.push_back(entry.path().filename().string());
    }
    return names;
}

TEST_CASE("what is written is read back") {
    const temporary_directory here;
    const fs::path file = here.path() / "profile.json";
    write_profile(file, sample());
    const auto found = read_profile(file);
    REQUIRE(found);
    CHECK(same(*found, sample()));
}

TEST_CASE("empty fields are not in the file and are read back empty") {
    const temporary_directory here;
    const fs::path file = here.path() / "profile.json";
    profile few;
    few.key = "v2_sesame";
    write_profile(file, few);
    CHECK(read(file) == "{\"key\":\"v2_sesame\"}\n");
    const auto found = read_profile(file);
    REQUIRE(found);
    CHECK(same(*found, few));
}

TEST_CASE("a profile can be read by its owner alone, whatever the mask says") {
    const mode_t before = ::umask(0);
    {
        const temporary_directory here;
        const fs::path file = here.path() / "new" / "newer" / "profile.json";
        write_profile(file, sample());
        CHECK(mode(file) == 0600);
        CHECK(mode(file.parent_path()) == 0700);
        CHECK(mode(file.parent_path().parent_path()) == 0700);
    }
    ::umask(before);
}

TEST_CASE("a directory that is there keeps its mode") {
    const temporary_directory here;
    const unsigned before = mode(here.path());
    write_profile(here.path() / "profile.json", sample());
    CHECK(mode(here.path()) == before);
}

TEST_CASE("a profile that others may read is refused with the remedy") {
    const temporary_directory here;
    const fs::path file = here.path() / "profile.json";
    write_profile(file, sample());
    for (const unsigned open : {0640u, 0604u, 0620u, 0602u, 0610u, 0644u}) {
        CAPTURE(open);
        fs::permissions(file, fs::perms(open));
        const std::string said = complaint(errc::bad_input, [&] { read_profile(file); });
        CHECK(mentions(said, file.string()));
        CHECK(mentions(said, "chmod 600"));
        CHECK_FALSE(mentions(said, "sesame"));
    }
    fs::permissions(file, fs::perms(0400));
    CHECK(read_profile(file));
}

TEST_CASE("a new profile replaces the old one whole, with a file of its own") {
    const temporary_directory here;
    const fs::path file = here.path() / "profile.json";
    write(file, std::string(10'000, 'x'), fs::perms(0644));
    std::ifstream old(file);
    write_profile(file, sample());
    CHECK(same(read_profile(file).value(), sample()));
    CHECK(mode(file) == 0600);
    // A reader that had the old file open still reads all of it.
    CHECK(std::string(std::istreambuf_iterator<char>(old), {}) == std::string(10'000, 'x'));
    CHECK(names_in(here.path()) == std::vector<std::string>{"profile.json"});
}

TEST_CASE("a profile that cannot be put in place is named and leaves nothing behind") {
    const temporary_directory here;
    const fs::path taken = here.path() / "taken";
    fs::create_directories(taken / "by a directory");
    const std::string said =
        complaint(errc::system_failed, [&] { write_profile(taken, sample()); });
    CHECK(mentions(said, taken.string()));
    CHECK_FALSE(mentions(said, "sesame"));
    CHECK(names_in(here.path()) == std::vector<std::string>{"taken"});
}

TEST_CASE("a directory that cannot be made is named") {
    const temporary_directory here;
    write(here.path() / "file", "");
    const std::string said = complaint(errc::system_failed, [&] {
        write_profile(here.path() / "file" / "below" / "profile.json", sample());
    });
    CHECK(mentions(said, (here.path() / "file" / "below").string()));
}

TEST_CASE("where there is no file there is no profile") {
    const temporary_directory here;
    CHECK_FALSE(read_profile(here.path() / "profile.json"));
    CHECK_FALSE(read_profile(here.path() / "none" / "profile.json"));
}

TEST_CASE("a malformed profile is refused by name, with what is wrong") {
    struct row {
        std::string text;
        const char* wrong;
    };
    const row table[] = {
        {"", "not a JSON object"},
        {"nonsense", "not a JSON object"},
        {"{\"key\":\"v2_ses", "not a JSON object"},
        {"[]", "not a JSON object"},
        {"\"v2_sesame\"", "not a JSON object"},
        {"{} {}", "not a JSON object"},
        {R"({"key":1})", "\"key\" must be a string"},
        {R"({"api_url":["https://localhost"]})", "\"api_url\" must be a string"},
        {R"({"postgres_host":false})", "\"postgres_host\" must be a string"},
        {R"({"ca_file":{}})", "\"ca_file\" must be a string"},
        {R"({"postgres_port":"5432"})", "\"postgres_port\" must be a number from 1 to 65535"},
        {R"({"postgres_port":0})", "\"postgres_port\" must be a number from 1 to 65535"},
        {R"({"postgres_port":-1})", "\"postgres_port\" must be a number from 1 to 65535"},
        {R"({"postgres_port":65536})", "\"postgres_port\" must be a number from 1 to 65535"},
        {R"({"postgres_port":1.5})", "\"postgres_port\" must be a number from 1 to 65535"},
    };
    const temporary_directory here;
    const fs::path file = here.path() / "profile.json";
    for (const row& one : table) {
        CAPTURE(one.text);
        write(file, one.text);
        const std::string said = complaint(errc::bad_input, [&] { read_profile(file); });
        CHECK(mentions(said, file.string()));
        CHECK(mentions(said, one.wrong));
        CHECK_FALSE(mentions(said, "v2_ses"));
    }
}

TEST_CASE("absent and null fields are empty, and fields of a later version are left aside") {
    const temporary_directory here;
    const fs::path file = here.path() / "profile.json";
    for (const std::string text : {"{}", R"({"key":null,"ca_file":null,"postgres_port":null})",
                                   R"({"color":{"of":["the","sky"]}})"}) {
        CAPTURE(text);
        write(file, text);
        const auto found = read_profile(file);
        REQUIRE(found);
        CHECK(same(*found, profile()));
    }
}

TEST_CASE("the profile is where the environment says, else below the configuration, else home") {
    const scoped_variable named("BITIO_PROFILE", "/named/file");
    const scoped_variable config("XDG_CONFIG_HOME", "/config");
    const scoped_variable home("HOME", "/home/adam");
    CHECK(default_profile_file() == "/named/file");
    const scoped_variable not_named("BITIO_PROFILE", "");
    CHECK(default_profile_file() == "/config/bitdotio/profile.json");
    const scoped_variable no_config("XDG_CONFIG_HOME", std::nullopt);
    CHECK(default_profile_file() == "/home/adam/.config/bitdotio/profile.json");
    const scoped_variable no_home("HOME", std::nullopt);
    CHECK(default_profile_file().empty());
}

}  // namespace
