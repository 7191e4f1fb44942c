// Every path there is, and nearly right ones: misspelt, cut off, extended, asked for by anybody.
#include "server/api/router.hpp"
#include "support/api_calls.hpp"
#include "support/run.hpp"
#include "support/test_server.hpp"

#include <doctest/doctest.h>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace asio = boost::asio;
using asio::use_awaitable;
using asio::ip::tcp;
using namespace std::string_literals;

namespace {

const std::vector<std::string> methods = {"GET",   "HEAD",   "POST",   "PUT",
                                          "PATCH", "DELETE", "OPTIONS"};

// A caller, and the header that identifies it.
struct visitor {
    std::string name;
    std::string authorization;  // a header, or empty
};

struct question {
    question(const visitor& who, std::string method_, std::string target_)
        : visitor_name(who.name), method(std::move(method_)), target(std::move(target_)) {
        // Without it DELETE /api-key would revoke all keys of its caller, who needs them later.
        if (method == "DELETE") {
            target += (target.find('?') == std::string::npos ? "?" : "&") + "api_key=v2_none"s;
        }
        text = method + " " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" +
               who.authorization + "\r\n";
    }

    std::string visitor_name;
    std::string method;
    std::string target;
    std::string text;
};

struct answer {
    int status = 0;
    std::string head;
    std::string body;

    bool has(std::string_view header) const { return head.find(header) != std::string::npos; }
};

// A kept connection; where an answer says that it ends, the next one takes over.
class conversation {
public:
    explicit conversation(const test::test_server& server) : port_(server.api_port()) {}

    // Questions are sent together, so that they do not cost a trip each.
    asio::awaitable<std::vector<answer>> ask(const std::vector<question>& all) {
        std::vector<answer> answers;
        while (answers.size() < all.size()) {
            if (!stream_) co_await connect();
            std::string text;
            for (std::size_t i = answers.size(); i < all.size(); ++i)
                text += all[i].text;
            const auto bytes = asio::buffer(text);
            co_await asio::async_write(*stream_, bytes, use_awaitable);
            while (stream_ && answers.size() < all.size()) {
                answers.push_back(co_await receive(all[answers.size()].method == "HEAD"));
                if (answers.back().has("\r\nConnection: close")) stream_.reset();
            }
        }
        co_return answers;
    }

private:
    asio::awaitable<void> connect() {
        unread_.clear();
        stream_ = std::make_unique<asio::ssl::stream<tcp::socket>>(
            co_await asio::this_coro::executor, tls_);
        const tcp::endpoint address(asio::ip::make_address("127.0.0.1"), port_);
        co_await stream_->next_layer().async_connect(address, use_awaitable);
        co_await stream_->async_handshake(asio::ssl::stream_base::client, use_awaitable);
    }

    asio::awaitable<answer> receive(bool without_body) {
        auto room = asio::dynamic_buffer(unread_);
        const std::size_t size =
            co_await asio::async_read_until(*stream_, room, "\r\n\r\n", use_awaitable);
        answer got;
        got.head = unread_.substr(0, size);
        got.status = std::stoi(got.head.substr(9, 3));
        unread_.erase(0, size);
        if (without_body) co_return got;
        constexpr std::string_view name = "Content-Length: ";
        const std::size_t length = std::stoul(got.head.substr(got.head.find(name) + name.size()));
        if (unread_.size() < length) {
            const auto rest = asio::transfer_exactly(length - unread_.size());
            co_await asio::async_read(*stream_, room, rest, use_awaitable);
        }
        got.body = unread_.substr(0, length);
        unread_.erase(0, length);
        co_return got;
    }

    std::uint16_t port_;
    asio::ssl::context tls_{asio::ssl::context::tls_client};
    std::unique_ptr<asio::ssl::stream<tcp::socket>> stream_;
    std::string unread_;
};

// A documented path, filled in with things that do not exist, and its methods.
struct documented {
    std::string path;
    std::set<std::string> methods;
};

std::vector<documented> documented_paths() {
    const std::map<std::string, std::string> values = {
        {"{db_name}", "local/none"}, {"{half}", "none"}, {"{user}", "local"}, {"{db}", "none"},
        {"{account}", "nobody"},     {"{key}", "none"},  {"{id}", "none"},
    };
    std::vector<documented> all;
    for (const bitdotio::documented_path& each : bitdotio::documented_paths()) {
        documented one;
        one.path = each.pattern;
        for (const auto& [name, value] : values) {
            const std::size_t at = one.path.find(name);
            if (at != std::string::npos) one.path.replace(at, name.size(), value);
        }
        REQUIRE(one.path.find('{') == std::string::npos);
        for (const bitdotio::path_method& method : each.methods)
            one.methods.emplace(method.name);
        all.push_back(std::move(one));
    }
    return all;
}

// For each slash of a path: what stands before it, the segment after it, and what follows that.
template <class Use>
void for_each_segment(const std::string& path, const Use& use) {
    std::size_t next = 0;
    for (std::size_t at = 0; at != std::string::npos; at = next) {
        next = path.find('/', at + 1);
        use(path.substr(0, at), path.substr(at + 1, next - at - 1),
            next == std::string::npos ? "" : path.substr(next));
    }
}

// Paths with segments too many, too few, or empty.
std::set<std::string> misbuilt() {
    std::set<std::string> all = {"//", "///", std::string(1'000, '/'), "*"};
    for (const documented& each : documented_paths()) {
        for (const char* end : {"", "/", "//", "/?a=b", "?", "/x", "/x/y/z", "/.."})
            all.insert(each.path + end);
        const auto add = [&](const std::string& before, const std::string& segment,
                             const std::string& after) {
            for (const char* slash : {"//", "///", "/x/"})
                all.insert(before + slash + segment + after);
            for (const char* end : {"/", "//"})
                all.insert(before + end);
            all.insert(before + after);
            all.insert(before + "/" + after);
        };
        for_each_segment(each.path, add);
    }
    all.erase("");  // an impossible request
    return all;
}

// Paths with segments that are written strangely.
std::set<std::string> misspelt() {
    std::set<std::string> all = {"/%", "%2F", "/%2F/%2F", "/?%"};
    for (const documented& each : documented_paths()) {
        const auto add = [&](const std::string& before, const std::string& segment,
                             const std::string& after) {
            for (const char* slash : {"%2F", "%2f/", "/%2F", "/./"})
                all.insert(before + slash + segment + after);
            for (const std::string& odd : {"%"s, "%2"s, "%zz"s, "%00"s, "%2F"s, "%ff"s, "a%2Fb"s,
                                           ".."s, segment + "%", std::string(3'000, 'x')})
                all.insert(before + "/" + odd + after);
        };
        for_each_segment(each.path, add);
    }
    return all;
}

// What is wrong with an answer; nothing if all is as it should be.
std::string fault_of(const question& asked, const answer& got) {
    static const std::set<int> known = {200, 400, 401, 403, 404, 405, 422, 429};
    if (!known.contains(got.status)) return "a status that is not documented";
    if ((got.status == 405) != got.has("\r\nAllow: ")) return "405 and Allow go together";
    const bool refused = got.status >= 400 && asked.method != "HEAD";
    if (refused && got.body.find("\"status_code\":") == std::string::npos &&
        got.body.find("\"detail\":") == std::string::npos)
        return "not the body of an error: " + got.body;
    const std::string path = asked.target.substr(0, asked.target.find('?'));
    if (asked.visitor_name == "owner" && path.find("//") != std::string::npos && got.status != 404)
        return "a path with an empty segment";
    return "";
}

// A server with its owner, an account that it lets in, and a caller without a key.
struct shared_server {
    shared_server() {
        const auto robot = test::run(server.server().create_account(
            "robot", bitdotio::role::admin, std::vector<bitdotio::database_name>()));
        const test::api_calls calls(server);
        const auto made = calls("POST", "/service-account/" + robot.id + "/api-key/");
        account = {"account", "Authorization: Bearer " + test::field_of(made, "api_key") + "\r\n"};
        owner = {"owner", "Authorization: Bearer " + server.key().reveal() + "\r\n"};
        nobody = {"nobody", ""};
    }

    static bitdotio::local_server_options without_rates() {
        bitdotio::local_server_options options;
        options.calls_per_second = 0;
        return options;
    }

    // What is wrong with the answers, a line for each.
    std::string faults(const std::vector<question>& all) {
        constexpr std::ptrdiff_t batch = 40;
        return test::run(std::chrono::minutes(4), [&]() -> asio::awaitable<std::string> {
            conversation talk(server);
            std::string lines;
            auto next = all.begin();
            while (next != all.end()) {
                const auto end = next + std::min(batch, std::distance(next, all.end()));
                const std::vector<question> some(next, end);
                const std::vector<answer> answers = co_await talk.ask(some);
                for (const answer& each : answers) {
                    const std::string fault = fault_of(*next, each);
                    if (!fault.empty()) {
                        lines += next->visitor_name + ": " + next->method + " " + next->target +
                                 ": " + std::to_string(each.status) + ": " + fault + "\n";
                    }
                    ++next;
                }
            }
            co_return lines;
        });
    }

    answer ask(const visitor& who, const std::string& method, const std::string& target) {
        return test::run([&]() -> asio::awaitable<answer> {
            conversation talk(server);
            const std::vector<question> one = {question(who, method, target)};
            std::vector<answer> answers = co_await talk.ask(one);
            co_return std::move(answers.front());
        });
    }

    test::test_server server{without_rates()};
    visitor owner;
    visitor account;
    visitor nobody;
};

shared_server& shared() {
    static shared_server one;
    return one;
}

}  // namespace

TEST_CASE("a documented path answers to its methods, and to others with 405 and what they are") {
    shared_server& here = shared();
    std::vector<question> all;
    std::vector<bool> right;
    for (const documented& each : documented_paths()) {
        for (const std::string& method : methods) {
            all.emplace_back(here.owner, method, each.path);
            right.push_back(each.methods.contains(method));
        }
    }
    std::vector<answer> answers;
    test::run([&]() -> asio::awaitable<void> {
        conversation talk(here.server);
        answers = co_await talk.ask(all);
    });
    for (std::size_t i = 0; i < all.size(); ++i) {
        INFO(all[i].method, " ", all[i].target, ": ", answers[i].head, answers[i].body);
        CHECK((answers[i].status != 405) == right[i]);
        CHECK(fault_of(all[i], answers[i]) == "");
    }
}

TEST_CASE("whatever path is asked for, by whatever method and with whatever key, is answered") {
    shared_server& here = shared();
    std::vector<question> all;
    // The owner gets furthest, and asks for misbuilt paths by every method. That would be too many
    // for the other callers and for misspelt paths: those take methods in turn.
    std::size_t turn = 0;
    const auto next_method = [&] { return methods[turn++ % methods.size()]; };
    for (const documented& each : documented_paths()) {
        for (const std::string& method : methods) {
            all.emplace_back(here.account, method, each.path);
            all.emplace_back(here.nobody, method, each.path);
        }
    }
    for (const std::string& target : misbuilt()) {
        for (const std::string& method : methods)
            all.emplace_back(here.owner, method, target);
        all.emplace_back(here.account, next_method(), target);
        all.emplace_back(here.nobody, next_method(), target);
    }
    for (const std::string& target : misspelt()) {
        all.emplace_back(here.owner, next_method(), target);
        all.emplace_back(here.account, next_method(), target);
        all.emplace_back(here.nobody, next_method(), target);
    }
    CHECK(here.faults(all) == "");
    CHECK(here.ask(here.nobody, "GET", "/healthz").status == 200);
    CHECK(here.ask(here.owner, "GET", "/server/status").status == 200);
}

TEST_CASE("a path longer than all headers may be is 431, and the next request is answered") {
    shared_server& here = shared();
    for (const char* path : {"/server/keys/", "/v2beta/db/", "/"}) {
        const answer got = here.ask(here.owner, "GET", path + std::string(20'000, 'x'));
        CHECK(got.status == 431);
    }
    CHECK(here.ask(here.nobody, "GET", "/healthz").status == 200);
}
