// What JSON alone costs, by the contract: DSN is the name of a file with an answer of the API.
//
// "encode-list" writes the list of databases that it holds; "decode-rows" reads the rows that it
// holds, "parse-rows" reads them as Boost.JSON's own tree.
#include "contract.hpp"

#include "service/api_codec.hpp"
#include "service/query_codec.hpp"

#include <boost/json.hpp>

#include <malloc.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

using namespace bench;

int main(int count, char** words) {
    const request asked = request::from(count, words);
    // The heap keeps what is freed. By itself it begins to only after a block of 128 KiB has been
    // freed: whoever needs none pays the kernel for its memory anew each time (mallopt(3)).
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    std::ifstream file(asked.dsn, std::ios::binary);
    const std::string body(std::istreambuf_iterator<char>(file), {});
    std::vector<bitdotio::database> databases;
    if (asked.workload == "encode-list") databases = bitdotio::api::decode_databases(body);
    const auto once = [&]() -> std::size_t {
        if (asked.workload == "encode-list") return bitdotio::api::encode(databases).size();
        if (asked.workload == "decode-rows") {
            return bitdotio::api::decode_query_answer(body).rows.size();
        }
        if (asked.workload != "parse-rows") not_here();
        return boost::json::parse(body).at("data").as_array().size();
    };
    measure total;
    const std::uint64_t sum = once();
    total.begin();
    const auto until = clock::now() + asked.seconds;
    for (clock::time_point now = clock::now(); now < until;) {
        once();
        const clock::time_point then = clock::now();
        total.took(now, then);
        now = then;
    }
    total.end();
    total.print(sum);
}
