// The program in README.md, run as printed, against a server of its own.
#include "support/child.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>

TEST_CASE(
    "the README's program does what it says, ends by itself, and says what a second run meets") {
    const test::temporary_directory directory;
    const std::map<std::string, std::string> environment = {
        {"TMPDIR", directory.path().string()},
        {"BITIO_PROFILE", (directory / "profile.json").string()}};
    test::child server({BIT_PROGRAM, "serve", "--temporary"}, environment);
    server.read_until("ready");

    const test::ending first = test::run_program({README_PROGRAM}, environment);
    CHECK_MESSAGE(first.status == 0, first.err);
    CHECK(first.out == "Alice\n[{\"name\":\"Alice\",\"age\":45}]\n");
    CHECK(first.err == "");

    const test::ending second = test::run_program({README_PROGRAM}, environment);
    CHECK(second.status == 1);
    CHECK(second.out == "");
    CHECK_MESSAGE(second.err.find("my-db") != std::string::npos, second.err);

    server.send(15);
    CHECK(server.wait().status == 0);
}
