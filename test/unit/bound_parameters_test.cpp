// Parameters become libpq's arrays.
#include "postgres/bound_parameters.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>

using namespace bitdotio;

TEST_CASE("parameters are bound with their types, forms and sizes") {
    const params values(std::int32_t{7}, std::string("seven"), std::optional<std::int32_t>());
    bound_parameters bound;
    bound.bind(values);
    REQUIRE(bound.count() == 3);
    CHECK(bound.types()[0] == oids::int4);
    CHECK(bound.formats()[0] == 1);
    CHECK(std::string(bound.values()[0], static_cast<std::size_t>(bound.lengths()[0])) ==
          std::string("\0\0\0\7", 4));
    CHECK(std::string(bound.values()[1], static_cast<std::size_t>(bound.lengths()[1])) == "seven");
    CHECK(bound.values()[2] == nullptr);
    CHECK(bound.octets() == 9);
}

TEST_CASE("what was bound before is gone") {
    bound_parameters bound;
    const params two(1, 2);
    const params none;
    bound.bind(two);
    bound.bind(none);
    CHECK(bound.count() == 0);
    CHECK(bound.octets() == 0);
}
