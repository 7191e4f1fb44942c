// Types of your own, written and read: a unit, an enum, a composite.
#include <bitdotio/arrays.hpp>
#include <bitdotio/bitdotio.hpp>
#include <bitdotio/composites.hpp>
#include <bitdotio/enums.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <exception>
#include <iostream>
#include <string>
#include <vector>

namespace asio = boost::asio;

// A temperature is a double precision in the database; the double's own conversion does the work.
struct celsius {
    double degrees;
};

template <>
struct bitdotio::to_sql<celsius> {
    static constexpr oid type = to_sql<double>::type;
    static constexpr bool binary = true;
    static void write(celsius value, std::string& out) {
        to_sql<double>::write(value.degrees, out);
    }
    // The text form is needed because temperatures are to be fields of a composite.
    static void write_text(celsius value, std::string& out) {
        to_sql<double>::write_text(value.degrees, out);
    }
};

template <>
struct bitdotio::from_sql<celsius> {
    static celsius read(const field_view& field) {
        const auto degrees = field.as<double>();
        if (degrees < -273.15) {
            throw field.mismatch("celsius", "nothing is that cold");
        }
        return {degrees};
    }
};

// CREATE TYPE sky AS ENUM ('clear', 'cloudy')
enum class sky { clear, cloudy };

template <>
struct bitdotio::enum_labels<sky> {
    static constexpr enum_label<sky> values[] = {{sky::clear, "clear"}, {sky::cloudy, "cloudy"}};
};

// CREATE TYPE observation AS (above sky, temperature double precision)
struct observation {
    sky above;
    celsius temperature;
};

// Leaves nothing behind: the types go with the transaction.
asio::awaitable<void> observe(bitdotio::client bit, std::string database) {
    bitdotio::transaction transaction = co_await bit.pool(database).begin();
    co_await transaction.query("CREATE TYPE sky AS ENUM ('clear', 'cloudy')");
    co_await transaction.query(
        "CREATE TYPE observation AS (above sky, temperature double precision)");

    const std::vector<observation> seen = {{sky::clear, {21.5}}, {sky::cloudy, {12}}};
    const bitdotio::result answer = co_await transaction.query(
        "SELECT (o).above, o FROM unnest($1::observation[]) AS o ORDER BY (o).temperature", seen);
    for (const bitdotio::row_view row : answer) {
        const auto whole = row["o"].as<observation>();
        std::cout << (row["above"].as<sky>() == sky::clear ? "clear" : "cloudy") << ", "
                  << whole.temperature.degrees << " degrees\n";
    }
    co_await transaction.rollback();
    co_await bit.close();
}

int main(int count, char** words) {
    if (count != 2) {
        std::cerr << "usage: example_custom_type USER/DATABASE\n";
        return 2;
    }
    try {
        asio::io_context io;
        const bitdotio::client bit(io.get_executor());  // key and addresses: environment, profile
        std::exception_ptr failure;
        asio::co_spawn(io, observe(bit, words[1]),
                       [&](std::exception_ptr thrown) { failure = thrown; });
        io.run();
        if (failure) {
            std::rethrow_exception(failure);
        }
    } catch (const std::exception& failure) {
        std::cerr << "custom_type: " << failure.what() << "\n";
        return 1;
    }
}
