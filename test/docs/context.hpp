// What the fragments of code in the pages find around them: names, and types of a reader's own.
#pragma once

#include <bitdotio/array_view.hpp>
#include <bitdotio/bitdotio.hpp>
#include <bitdotio/composites.hpp>
#include <bitdotio/cursor.hpp>
#include <bitdotio/enums.hpp>
#include <bitdotio/large_object.hpp>
#include <bitdotio/listener.hpp>
#include <bitdotio/local_server.hpp>
#include <bitdotio/prometheus.hpp>
#include <bitdotio/resolve_commit.hpp>
#include <bitdotio/retry_transaction.hpp>

#include "support/database.hpp"
#include "support/with_connection.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>

#include <prometheus/registry.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace asio = boost::asio;
using namespace std::chrono_literals;

struct person {
    std::string name;
    int age;
};
struct measurement {
    double value;
};
struct place {
    std::string city;
    int postcode;
};
struct celsius {
    double degrees;
};
enum class sky { clear, cloudy };

// Where a fragment takes its tokens from; of the reader.
struct token_vault {
    asio::awaitable<std::string> token(int which);
};

struct context {
    asio::any_io_executor executor;
    bitdotio::connect_options options;
    bitdotio::client& client;
    bitdotio::pool& pool;
    bitdotio::connection& connection;
    bitdotio::connection& c;
    bitdotio::transaction& t;
    bitdotio::result& answer;
    bitdotio::result& rows;
    const bitdotio::row_view& row;
    token_vault& vault;
    std::vector<person> people;
    std::ofstream file;
    bitdotio::bytes data;
    std::string secret, table, text, name;
    std::int64_t id = 0;
    int amount = 0, cached = 0, fresh = 0, left = 0;
    double sum = 0;

    asio::awaitable<void> read_all_orders();
};
