// Builds forms by hand, and polls jobs until their state is final.
#include "support/job_calls.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>
#include <thread>

namespace test {

namespace json = boost::json;

namespace {

// The time between two polls of a job: a key has 50 calls a second.
constexpr std::chrono::milliseconds between_looks{30};

}  // namespace

http_answer job_calls::call(const std::string& method, const std::string& target,
                            const std::string& body, const std::string& headers) {
    return https(server_.api_port(), server_.ca_file(),
                 method + " " + target +
                     " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(server_.api_port()) +
                     "\r\nConnection: close\r\n" + headers + "Authorization: Bearer " + key_ +
                     "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
}

std::string job_calls::form(const std::string& table, const std::string& file_name,
                            const std::string& content,
                            const std::map<std::string, std::string>& fields) {
    const std::string part = "--a-boundary\r\nContent-Disposition: form-data; name=\"";
    std::string body = part + "table_name\"\r\n\r\n" + table + "\r\n";
    for (const auto& [name, value] : fields)
        body += part + name + "\"\r\n\r\n" + value + "\r\n";
    body += part + "file\"; filename=\"" + file_name + "\"\r\n\r\n" + content +
            "\r\n--a-boundary--\r\n";
    return body;
}

http_answer job_calls::import(const bitdotio::database_name& database, const std::string& table,
                              const std::string& file_name, const std::string& content,
                              const std::map<std::string, std::string>& fields) {
    return call("POST", "/v2beta/db/" + database.full() + "/import/",
                form(table, file_name, content, fields), form_headers);
}

http_answer job_calls::export_(const bitdotio::database_name& database, const json::object& wish) {
    return call("POST", "/v2beta/db/" + database.full() + "/export/", json::serialize(wish));
}

json::object job_calls::end(const http_answer& started) {
    if (started.status != 201) {
        throw std::runtime_error("the job was not started: " + started.body);
    }
    const std::string url(json::parse(started.body).at("status_url").as_string());
    const std::string target = url.substr(url.find("/v2beta/"));
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < deadline) {
        const http_answer answer = call("GET", target);
        if (answer.status != 200) throw std::runtime_error("no state of the job: " + answer.body);
        json::object job = json::parse(answer.body).as_object();
        if (job.at("state") == "DONE" || job.at("state") == "FAILED") return job;
        std::this_thread::sleep_for(between_looks);
    }
    throw std::runtime_error("the job did not end");
}

http_answer job_calls::download(const json::object& job, const std::string& method,
                                const std::string& headers) {
    if (!job.at("download_url").is_string()) {
        throw std::runtime_error("there is nothing to download: " + json::serialize(job));
    }
    const std::string url(job.at("download_url").as_string());
    return https(server_.api_port(), server_.ca_file(),
                 method + " " + url.substr(url.find("/v2beta/")) +
                     " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + headers + "\r\n");
}

std::string job_calls::rows(const bitdotio::database_name& database, const std::string& sql) {
    const json::object body{{"database_name", database.full()}, {"query_string", sql}};
    const http_answer answer = call("POST", "/v2beta/query", json::serialize(body));
    const json::value parsed = json::parse(answer.body);
    if (answer.status != 200) throw std::runtime_error("the query failed: " + answer.body);
    return json::serialize(parsed.at("data"));
}

void check_failed(const json::object& job, const std::string& type, const std::string& words) {
    CAPTURE(json::serialize(job));
    CHECK(job.at("state") == "FAILED");
    CHECK(job.at("error_type") == json::string(type));
    CHECK(job.at("error_id").as_string().size() == 36);
    CHECK(job.at("date_finished").is_string());
    if (job.contains("export_format")) CHECK(job.at("download_url").is_null());
    const std::string said(job.at("error_details").at("message").as_string());
    CHECK(said.find(words) != std::string::npos);
}

}  // namespace test
