// Keeps the secret words and looks for them in every text of an error.
#include "support/secrets.hpp"

#include <doctest/doctest.h>

#include <mutex>
#include <set>

namespace test {

namespace {

struct safe {
    std::mutex turn;
    std::set<std::string> words;
};

safe& secrets() {
    static safe all;
    return all;
}

bool tells_secret(const std::string& text) {
    const std::lock_guard turn(secrets().turn);
    for (const std::string& word : secrets().words) {
        if (text.find(word) != std::string::npos) {
            return true;
        }
    }
    return false;
}

bool tells_secret(const bitdotio::server_message& said) {
    for (const std::string* const text :
         {&said.message, &said.detail, &said.hint, &said.context, &said.severity}) {
        if (tells_secret(*text)) {
            return true;
        }
    }
    return false;
}

}  // namespace

void keep_secret(const std::string& word) {
    const std::lock_guard turn(secrets().turn);
    if (word.size() >= 6) {  // a shorter one may occur in any text
        secrets().words.insert(word);
    }
}

void expect_discreet(const bitdotio::error& failure) {
    // Printing the text would tell the secret once more.
    const bool discreet = !tells_secret(failure.what()) && !tells_secret(failure.server());
    CHECK_MESSAGE(discreet, "an error tells a secret: " << to_string(failure.code()));
}

void expect_discreet_notice(const bitdotio::server_message& notice) {
    const bool discreet = !tells_secret(notice);
    CHECK_MESSAGE(discreet, "a notice tells a secret: " << notice.sqlstate);
}

}  // namespace test
