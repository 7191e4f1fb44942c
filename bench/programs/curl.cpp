// libcurl's multi interface by the contract: TASKS calls at a time on kept-alive connections.
// DSN is an address with the rest of the request in the environment: BENCH_KEY, BENCH_CA.
#include "contract.hpp"

#include <curl/curl.h>

using namespace bench;

namespace {

std::size_t append(char* data, std::size_t size, std::size_t count, void* body) {
    static_cast<std::string*>(body)->append(data, size * count);
    return size * count;
}

struct call {
    CURL* easy;
    std::string body;
    clock::time_point since;
};

}  // namespace

int main(int count, char** words) {
    const request asked = request::from(count, words);
    if (asked.workload != "get" && asked.workload != "list") not_here();
    curl_slist* headers = curl_slist_append(
        nullptr, (std::string("Authorization: Bearer ") + std::getenv("BENCH_KEY")).c_str());
    headers = curl_slist_append(headers, "Accept: application/json");
    CURLM* multi = curl_multi_init();
    std::vector<call> calls(asked.tasks);
    for (call& one : calls) {
        one.easy = curl_easy_init();
        curl_easy_setopt(one.easy, CURLOPT_URL, asked.dsn.c_str());
        curl_easy_setopt(one.easy, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(one.easy, CURLOPT_CAINFO, std::getenv("BENCH_CA"));
        curl_easy_setopt(one.easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
        curl_easy_setopt(one.easy, CURLOPT_WRITEFUNCTION, append);
        curl_easy_setopt(one.easy, CURLOPT_WRITEDATA, &one.body);
        curl_easy_setopt(one.easy, CURLOPT_PRIVATE, &one);
        // Opens its connection, which is kept.
        curl_multi_add_handle(multi, one.easy);
    }
    const auto drive = [&](auto on_end) {
        curl_multi_poll(multi, nullptr, 0, 1'000, nullptr);
        int running = 0;
        curl_multi_perform(multi, &running);
        int left = 0;
        while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
            if (message->msg != CURLMSG_DONE) continue;
            call* one = nullptr;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &one);
            long status = 0;
            curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
            const bool good = message->data.result == CURLE_OK && status == 200;
            curl_multi_remove_handle(multi, one->easy);
            on_end(*one, good);
        }
    };
    measure total;
    std::size_t open = calls.size();
    while (open)
        drive([&](call&, bool good) { good ? void(--open) : std::exit(1); });

    total.begin();
    const auto until = clock::now() + asked.seconds;
    std::size_t running = calls.size();
    const auto start = [&](call& one) {
        one.body.clear();
        one.since = clock::now();
        curl_multi_add_handle(multi, one.easy);
    };
    for (call& one : calls)
        start(one);
    while (running) {
        drive([&](call& one, bool good) {
            const auto now = clock::now();
            total.took(one.since, now);
            if (!good) total.failed();
            if (now < until) {
                start(one);
            } else {
                --running;
            }
        });
    }
    total.end();
    total.print(0);
}
