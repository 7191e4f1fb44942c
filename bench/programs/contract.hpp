// The contract of the programs: what they are asked, and the one line they answer.
//
//   PROGRAM WORKLOAD DSN CONNECTIONS TASKS SECONDS [THREADS]
//
// A program that does not have the workload ends with status 3. Times are in microseconds, the peak
// of memory is in KiB. BENCH_FIRST in the environment says how many statements are asked before,
// one by one: fewer where each takes long.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace bench {

using clock = std::chrono::steady_clock;

struct request {
    std::string workload;
    std::string dsn;
    std::size_t connections;
    std::size_t tasks;
    std::chrono::duration<double> seconds;
    std::size_t threads;

    static request from(int count, char** words) {
        if (count < 6) {
            std::fprintf(stderr, "%s WORKLOAD DSN CONNECTIONS TASKS SECONDS [THREADS]\n", words[0]);
            std::exit(2);
        }
        return {words[1],
                words[2],
                std::strtoul(words[3], nullptr, 10),
                std::strtoul(words[4], nullptr, 10),
                std::chrono::duration<double>(std::strtod(words[5], nullptr)),
                count > 6 ? std::strtoul(words[6], nullptr, 10) : 1};
    }
};

[[noreturn]] inline void not_here() {
    std::exit(3);
}

inline double processor_seconds() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

/// The most memory this process has had, in KiB. What rusage says begins with the memory of the
/// process that started this one.
inline std::uint64_t peak_memory() {
    std::FILE* file = std::fopen("/proc/self/status", "r");
    unsigned long kibibytes = 0;
    char line[256];
    while (file && std::fgets(line, sizeof line, file)) {
        if (std::sscanf(line, "VmHWM: %lu", &kibibytes) == 1) break;
    }
    if (file) std::fclose(file);
    return kibibytes;
}

/// Numbers of accounts, the same row for the same seed in every program (Lehmer, MINSTD).
class keys {
public:
    explicit keys(std::size_t seed) : state_(seed % 2'147'483'646 + 1) {}

    int next() {
        state_ = state_ * 48'271 % 2'147'483'647;
        return static_cast<int>(state_ % accounts) + 1;
    }

    static constexpr std::uint64_t accounts = 100'000;

private:
    std::uint64_t state_;
};

/// What is measured. Each thread has its own, and one is made of them at the end.
class measure {
public:
    /// How long one operation took.
    void took(clock::time_point since) { took(since, clock::now()); }
    void took(clock::time_point since, clock::time_point until) {
        const double micros = std::chrono::duration<double, std::micro>(until - since).count();
        times_.push_back(static_cast<float>(micros));
        ++operations_;
    }
    void add(std::uint64_t operations) { operations_ += operations; }
    void failed() { ++errors_; }

    void begin() {
        since_ = clock::now();
        processor_ = processor_seconds();
    }
    void end() {
        seconds_ = std::chrono::duration<double>(clock::now() - since_).count();
        processor_ = processor_seconds() - processor_;
    }

    void join(const measure& other) {
        times_.insert(times_.end(), other.times_.begin(), other.times_.end());
        operations_ += other.operations_;
        errors_ += other.errors_;
    }

    /// Prints the line. The sum is over answers to fixed questions: who answers wrongly is found
    /// out.
    void print(std::uint64_t sum) {
        std::sort(times_.begin(), times_.end());
        const auto at = [&](double share) {
            if (times_.empty()) return 0.0;
            const auto index = static_cast<std::size_t>(share * static_cast<double>(times_.size()));
            return static_cast<double>(times_[std::min(index, times_.size() - 1)]);
        };
        std::printf(
            "{\"operations\": %llu, \"seconds\": %.6f, \"cpu\": %.6f, \"p50\": %.1f, \"p90\": "
            "%.1f, "
            "\"p99\": %.1f, \"p999\": %.1f, \"errors\": %llu, \"sum\": %llu, \"peak\": %llu}\n",
            static_cast<unsigned long long>(operations_), seconds_, processor_, at(0.5), at(0.9),
            at(0.99), at(0.999), static_cast<unsigned long long>(errors_),
            static_cast<unsigned long long>(sum), static_cast<unsigned long long>(peak_memory()));
    }

private:
    std::vector<float> times_;
    std::uint64_t operations_ = 0;
    std::uint64_t errors_ = 0;
    clock::time_point since_;
    double seconds_ = 0;
    double processor_ = 0;
};

inline constexpr auto select_account = "SELECT name, balance FROM account WHERE id = $1";
inline constexpr auto select_entries = "SELECT id, label, amount FROM entry";
inline constexpr auto copy_entries = "COPY entry TO STDOUT (FORMAT binary)";
inline constexpr auto update_account = "UPDATE account SET seen = seen + 1 WHERE id = $1";
inline constexpr auto make_sink =
    "CREATE TEMPORARY TABLE sink (id int, label text, amount double precision)";
inline constexpr auto copy_sink = "COPY sink FROM STDIN (FORMAT binary)";
inline constexpr auto sum_sink =
    "SELECT (sum(id) + sum(length(label)) + sum(amount * 2))::bigint FROM sink";
inline constexpr int entries = 1'000'000;

/// How many statements' answers make the sum.
inline std::size_t asked_first() {
    const char* count = std::getenv("BENCH_FIRST");
    return count ? std::strtoul(count, nullptr, 10) : 1'000;
}

/// The label of a row that is written.
inline std::string label_of(int id) {
    return "label-" + std::to_string(id % 1'000);
}

/// An entry's part of the sum.
inline std::uint64_t weight(int id, std::size_t label, double amount) {
    return static_cast<std::uint64_t>(id) + label + static_cast<std::uint64_t>(amount * 2);
}

}  // namespace bench
