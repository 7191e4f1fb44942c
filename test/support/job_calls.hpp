// Imports and exports as a client makes them, by handwritten requests.
#pragma once

#include "support/test_server.hpp"

#include <boost/json.hpp>

#include <map>
#include <optional>
#include <string>
#include <utility>

namespace test {

/// The calls of one server, for tests without coroutines of their own. A call that takes longer
/// than a minute fails with std::runtime_error.
class job_calls {
public:
    explicit job_calls(test_server& server) : job_calls(server, server.key().reveal()) {}
    job_calls(test_server& server, std::string key) : server_(server), key_(std::move(key)) {}

    /// The headers of a form made by `form`.
    static constexpr const char* form_headers =
        "Content-Type: multipart/form-data; boundary=a-boundary\r\n";
    /// The body of an import that uploads a file.
    static std::string form(const std::string& table, const std::string& file_name,
                            const std::string& content,
                            const std::map<std::string, std::string>& fields = {});

    /// Any call, with the key.
    http_answer call(const std::string& method, const std::string& target,
                     const std::string& body = "", const std::string& headers = "");

    /// Starts an import that uploads a file.
    http_answer import(const bitdotio::database_name& database, const std::string& table,
                       const std::string& file_name, const std::string& content,
                       const std::map<std::string, std::string>& fields = {});
    /// Starts an export; `wish` is its body.
    http_answer export_(const bitdotio::database_name& database, const boost::json::object& wish);

    /// Returns the job once it is over, found by the answer that started it.
    boost::json::object end(const http_answer& started);

    /// Both together: the job, as it ended.
    boost::json::object imported(const bitdotio::database_name& database, const std::string& table,
                                 const std::string& file_name, const std::string& content,
                                 const std::map<std::string, std::string>& fields = {}) {
        return end(import(database, table, file_name, content, fields));
    }
    boost::json::object exported(const bitdotio::database_name& database,
                                 const boost::json::object& wish) {
        return end(export_(database, wish));
    }

    /// Fetches the file of a finished export from its URL, without the key.
    http_answer download(const boost::json::object& job, const std::string& method = "GET",
                         const std::string& headers = "");

    /// The rows of a query, as JSON.
    std::string rows(const bitdotio::database_name& database, const std::string& sql);

private:
    test_server& server_;
    std::string key_;
};

/// Checks that a job, as it ended, failed for this reason and with these words.
void check_failed(const boost::json::object& job, const std::string& type,
                  const std::string& words);

}  // namespace test
