// Random inputs for tests of parsers: bytes that are nearly right, from a repeatable seed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace test {

/// Makes inputs. A test prints `seed()` when it fails; BITDOTIO_FUZZ_SEED repeats it, and
/// BITDOTIO_FUZZ_CASES says how many cases there are.
class fuzzer {
public:
    fuzzer() : seed_(number_of("BITDOTIO_FUZZ_SEED", std::random_device()())), chance_(seed_) {}

    std::uint64_t seed() const { return seed_; }
    static std::size_t cases(std::size_t usual) {
        return static_cast<std::size_t>(number_of("BITDOTIO_FUZZ_CASES", usual));
    }

    /// A number below `end`, which is at least 1.
    std::size_t below(std::size_t end) {
        return std::uniform_int_distribution<std::size_t>(0, end - 1)(chance_);
    }
    bool once_in(std::size_t times) { return below(times) == 0; }
    template <class T>
    const T& any_of(const std::vector<T>& list) {
        return list[below(list.size())];
    }
    std::string bytes(std::size_t size) {
        std::string made(size, '\0');
        for (char& c : made)
            c = static_cast<char>(below(256));
        return made;
    }

    /// A few changes: bytes flipped, set to an edge, inserted, removed, doubled, cut off.
    std::string changed(std::string text) {
        static const std::vector<int> edges = {0, 1, 4, 7, 8, 0x7f, 0x80, 0xff, '\r', '\n', ':'};
        for (std::size_t times = 1 + below(4); times > 0; --times) {
            const std::size_t at = text.empty() ? 0 : below(text.size());
            const std::size_t size = std::min(text.size() - at, 1 + below(8));
            switch (text.empty() ? 3 : below(7)) {
                case 0: text[at] = static_cast<char>(text[at] ^ (1 << below(8))); break;
                case 1: text[at] = static_cast<char>(any_of(edges)); break;
                case 2: text.erase(at, size); break;
                case 3: text.insert(at, bytes(1 + below(8))); break;
                case 4: text.insert(at, text.substr(at, size)); break;
                case 5: text.resize(at); break;
                default: text.insert(at, size, static_cast<char>(any_of(edges)));
            }
        }
        return text;
    }

private:
    static std::uint64_t number_of(const char* variable, std::uint64_t otherwise) {
        const char* given = std::getenv(variable);
        return given ? std::strtoull(given, nullptr, 10) : otherwise;
    }

    std::uint64_t seed_;
    std::mt19937_64 chance_;
};

}  // namespace test
