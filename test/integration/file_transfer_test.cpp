// The client's imports, exports and downloads, against the real server.
#include <bitdotio/client.hpp>
#include <bitdotio/error.hpp>

#include "support/child.hpp"
#include "support/database.hpp"
#include "support/run.hpp"
#include "support/text.hpp"

#include <doctest/doctest.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <fstream>
#include <iterator>
#include <sstream>
#include <tuple>

namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using namespace bitdotio;
using asio::awaitable;
using test::contents;

// More than fits into the buffers on the way.
std::string many_lines() {
    std::string text = "n,t\n";
    for (int i = 0; i < 100'000; ++i)
        text += std::to_string(i) + ",row \"\"\n";
    return text;
}

awaitable<void> there_and_back(client_options options, database_name name, fs::path directory) {
    client service(co_await asio::this_coro::executor, std::move(options));
    const fs::path file = directory / "some \"rows\".csv";
    std::ofstream(file) << many_lines();
    import_options where("rows");
    const import_job begun = co_await service.import_file(name, file, where);
    CHECK_FALSE(begun.is_over());
    const import_job imported = co_await service.wait_for_import(begun.id);
    CHECK(imported.state == job_state::done);
    CHECK(imported.date_finished.has_value());
    CHECK(imported.error_type.empty());

    export_options wish;
    wish.query = "SELECT n, t FROM rows ORDER BY n";
    wish.file_name = "rows.csv";
    const export_job started = co_await service.start_export(name, wish);
    const export_job exported = co_await service.wait_for_export(started.id);
    REQUIRE(exported.state == job_state::done);
    CHECK(exported.format == export_format::csv);
    CHECK(exported.file_name == "rows.csv");
    std::ofstream(directory / "back.csv.part") << "somebody's own";
    co_await service.download(exported, directory / "back.csv");
    std::string wanted = "n,t\n";
    for (int i = 0; i < 100'000; ++i)
        wanted += std::to_string(i) + ",\"row \"\"\"\"\"\n";
    CHECK(contents(directory / "back.csv") == wanted);
    CHECK(contents(directory / "back.csv.part") == "somebody's own");
    fs::remove(directory / "back.csv.part");
    fs::remove(directory / "back.csv");
    // Two into the same place do not mix, and leave nothing beside it.
    const auto before = std::distance(fs::directory_iterator(directory), {});
    const auto executor = co_await asio::this_coro::executor;
    auto both = asio::experimental::make_parallel_group(
        asio::co_spawn(executor, service.download(exported, directory / "back.csv"),
                       asio::deferred),
        asio::co_spawn(executor, service.download(exported, directory / "back.csv"),
                       asio::deferred));
    const auto ended =
        co_await both.async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
    CHECK_FALSE(std::get<1>(ended));
    CHECK_FALSE(std::get<2>(ended));
    CHECK(contents(directory / "back.csv") == wanted);
    CHECK(std::distance(fs::directory_iterator(directory), {}) == before + 1);
    co_await service.close();
}

awaitable<void> fail_in_every_way(client_options options, database_name name, fs::path directory) {
    client service(co_await asio::this_coro::executor, std::move(options));
    const auto code_of = [](auto& call) -> awaitable<errc> {
        try {
            co_await call();
        } catch (const error& failure) {
            CHECK(std::string(failure.what()).find("v2_") == std::string::npos);
            co_return failure.code();
        }
        co_return errc{};
    };
    auto no_file = [&] {
        return service.import_file(name, directory / "none", import_options("t"));
    };
    const errc unreadable = co_await code_of(no_file);
    CHECK(unreadable == errc::bad_input);
    std::ofstream(directory / "file") << "a\n1\n";
    auto no_database = [&] {
        return service.import_file({"local/none"}, directory / "file", import_options("t"));
    };
    const errc unknown = co_await code_of(no_database);
    CHECK(unknown == errc::not_found);
    auto no_table = [&] { return service.import_file(name, directory / "file", import_options()); };
    const errc refused = co_await code_of(no_table);
    CHECK(refused == errc::api_failed);

    auto no_address = [&] {
        return service.import_url(name, "http://127.0.0.1:1/a b", import_options("t"));
    };
    const errc malformed = co_await code_of(no_address);
    CHECK(malformed == errc::api_failed);
    const import_job begun =
        co_await service.import_url(name, "http://127.0.0.1:1/a?c=\"&d", import_options("t"));
    const import_job private_address = co_await service.wait_for_import(begun.id);
    CHECK(private_address.state == job_state::failed);
    CHECK(private_address.error_type == "download_failed");
    CHECK(private_address.error_message.find("127.0.0.1") != std::string::npos);

    export_job nothing;
    auto no_link = [&] { return service.download(nothing, directory / "x"); };
    const errc too_early = co_await code_of(no_link);
    CHECK(too_early == errc::bad_input);
    nothing.download_url = "https://127.0.0.1:1/x";
    auto nobody = [&] { return service.download(nothing, directory / "x"); };
    const errc unreachable = co_await code_of(nobody);
    CHECK(unreachable == errc::connect_failed);
    CHECK_FALSE(fs::exists(directory / "x"));
    co_await service.close();
}

test::database& shared() {
    static test::database one;
    return one;
}

}  // namespace

TEST_CASE("a file goes into a table and comes back out of it") {
    const test::temporary_directory directory;
    test::run(there_and_back(shared().server.client_options(), shared().name, directory.path()));
}

TEST_CASE("files that cannot be sent, imported or downloaded fail with the reason") {
    const test::temporary_directory directory;
    test::run(fail_in_every_way(shared().server.client_options(), shared().name, directory.path()));
}
