// Patterns of paths, and the parts they find.
#include "server/api/path_pattern.hpp"
#include "base/percent_encoding.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace bitdotio;

namespace {

bool matches(const char* pattern, const char* path) {
    return match_path(pattern, path).has_value();
}

std::string part(const char* name, const char* pattern, const char* path) {
    const auto parts = match_path(pattern, path);
    return parts ? parts->named(name) : "no match";
}

}  // namespace

TEST_CASE("a pattern matches as many segments as it has, and a final slash more") {
    for (const char* path : {"/a/b", "/a/b/", "/%61/b"}) {
        CAPTURE(path);
        CHECK(matches("/a/b", path));
    }
    for (const char* path : {"", "/", "//", "///", "/a", "/a/", "/a//", "/a/b//", "//a/b", "/a//b",
                             "/a/b/c", "a/b", "a", "*", "/a%2Fb", "/a/%", "/a/b%"}) {
        CAPTURE(path);
        CHECK_FALSE(matches("/a/b", path));
    }
}

TEST_CASE("a name in braces takes one segment, decoded, and never an empty one") {
    CHECK(part("id", "/a/{id}", "/a/x%20%2Fy/") == "x /y");
    CHECK(part("id", "/a/{id}/b", "/a/b/b") == "b");
    CHECK(part("id", "/a/{id}", "/a/%zz%") == "%zz%");
    CHECK(part("id", "/a/{id}", "/a/%00") == std::string(1, '\0'));
    CHECK(part("other", "/a/{id}", "/a/x") == "");
    for (const char* path : {"/a", "/a/", "/a//", "//x", "/a/x//", "/a/x/y", "/a//x"}) {
        CAPTURE(path);
        CHECK_FALSE(matches("/a/{id}", path));
    }
}

TEST_CASE("a database's name takes two segments, or one whose slash is escaped") {
    const char* pattern = "/db/{db_name}/import";
    CHECK(part("db_name", pattern, "/db/u/d/import") == "u/d");
    CHECK(part("db_name", pattern, "/db/u%2Fd/import/") == "u/d");
    CHECK(part("db_name", pattern, "/db/u%2Fd/e/import") == "u/d/e");
    CHECK(part("db_name", pattern, "/db/import/import/import") == "import/import");
    for (const char* path : {"/db/u/import", "/db//d/import", "/db/u//import", "/db//import",
                             "/db/import", "/db/u/d/import/x", "/db/u%2Fd"}) {
        CAPTURE(path);
        CHECK_FALSE(matches(pattern, path));
    }
}

TEST_CASE("what is no valid escape stays as it is") {
    CHECK(percent_decoded("%41%zz%4") == "A%zz%4");
    CHECK(percent_decoded("100%") == "100%");
    CHECK(percent_decoded("%2525") == "%25");
    CHECK(percent_decoded("a%41") == "aA");
}
