// A stranger's file is read by a process without rights, whose answers nobody believes.
#include "server/jail/jailed_file.hpp"
#include "support/child.hpp"

#include <bitdotio/error.hpp>

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

using namespace bitdotio;
using namespace std::string_literals;

namespace {

struct scratch {
    test::temporary_directory directory;

    std::filesystem::path write(const std::string& content) const {
        const std::filesystem::path file = directory / "file";
        std::ofstream(file, std::ios::binary) << content;
        return file;
    }
};

std::shared_ptr<jailed_file> jail(const std::filesystem::path& file, const std::string& name,
                                  jailed_file::listener died = nullptr) {
    return std::make_shared<jailed_file>(file, name, header_row::automatic, std::move(died));
}

std::string rows_of(const table_source& table) {
    const auto reader = table.open();
    std::string text;
    cells row;
    while (reader->next(row)) {
        for (const cell& each : row)
            text += (each.kind == cell_kind::null ? "~" : each.text) + "|";
        text += "\n";
    }
    for (const std::string& name : reader->names())
        text += "<" + name + ">";
    return text;
}

template <class Work>
std::string refusal(Work work, errc code = errc::bad_input) {
    try {
        work();
        return "no error";
    } catch (const error& failure) {
        CHECK(failure.code() == code);
        return failure.what();
    }
}

// A line of /proc/PID/status.
std::string status(int pid, const std::string& name) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with(name + ":")) return line.substr(line.find_last_of("\t ") + 1);
    }
    return "";
}

std::string numbers(int count) {
    std::string text = "n,t\n";
    for (int i = 0; i < count; ++i)
        text += std::to_string(i) + ",x\n";
    return text;
}

}  // namespace

TEST_CASE("a file is read through another process as it is read here") {
    const scratch place;
    CHECK(rows_of(jail(place.write("a,b\n1,\n2,\"\"\n"), "x.csv")->tables().at(0)) ==
          "1|~|\n2||\n<a><b>");
    CHECK(rows_of(jail(place.write(R"([{"a": 1}, {"b": {"c": 2}}])"), "x")->tables().at(0)) ==
          "1|\n~|{\"c\": 2}|\n<a><b>");
    const auto tables = jail(TEST_DATA "/people.xls", "people")->tables();
    REQUIRE(tables.size() == 1);
    CHECK(tables[0].name == "People");
    CHECK(rows_of(tables[0]).find("B\xc3\xb6") != std::string::npos);
    CHECK(rows_of(jail(TEST_DATA "/wide-row.sqlite", "x")->tables().at(0)).ends_with("<a>"));
    // Longer than what is asked for ahead, begun twice, and a text larger than all buffers.
    const auto file =
        jail(place.write(numbers(100'000) + "0," + std::string(3'000'000, 'y') + "\n"), "x.csv");
    const table_source table = file->tables().at(0);
    cells row;
    CHECK(table.open()->next(row));
    const std::string all = rows_of(table);
    CHECK(all.size() == numbers(100'000).size() - 4 + 100'000 + 3'000'004 + 6);
}

TEST_CASE("the process that reads a file has the file, and no rights") {
    const scratch place;
    const auto file = jail(place.write(numbers(500'000)), "x.csv");
    const auto reader = file->tables().at(0).open();
    cells row;
    REQUIRE(reader->next(row));
    const int pid = file->pid();
    CHECK(status(pid, "NoNewPrivs") == "1");
    CHECK(status(pid, "Seccomp") == "2");
    CHECK(status(pid, "Threads") == "1");
    CHECK(status(pid, "CapEff") == "0000000000000000");
    CHECK(status(pid, "CapAmb") == "0000000000000000");
    if (::geteuid() == 0) {
        CHECK(status(pid, "Uid") == "65534");
        CHECK(status(pid, "Gid") == "65534");
    }
    if (::geteuid() == 0) {  // nobody else may look
        std::set<std::string> descriptors;
        for (const auto& each :
             std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
            descriptors.insert(each.path().filename());
        }
        CHECK(descriptors == std::set<std::string>{"0", "1", "2"});
    }
    std::ifstream limits("/proc/" + std::to_string(pid) + "/limits");
    std::stringstream text;
    text << limits.rdbuf();
    for (const char* line : {"Max address space         1073741824", "Max file size             0",
                             "Max core file size        0", "Max processes             0",
                             "Max open files            8"}) {
        CAPTURE(line);
        CHECK(text.str().find(line) != std::string::npos);
    }
}

TEST_CASE("a file that crashes its reader cannot be read, and that is all") {
    const scratch place;
    for (const int number : {SIGSEGV, SIGSYS, SIGXCPU, SIGKILL}) {
        CAPTURE(number);
        std::string how;
        const auto file = jail(place.write(numbers(500'000)), "x.csv",
                               [&](const std::string& told, double) { how = told; });
        const table_source table = file->tables().at(0);
        const auto reader = table.open();
        cells row;
        REQUIRE(reader->next(row));
        ::kill(file->pid(), number);
        const std::string words = refusal([&] {
            while (reader->next(row)) {
            }
        });
        CHECK(words.find(number == SIGXCPU   ? "seconds of processor time"
                         : number == SIGKILL ? "the system ended the reading"
                                             : "its reader crashed") != std::string::npos);
        CHECK(how == "signal " + std::to_string(number));
        CHECK(refusal([&] { table.open(); }) == words);
    }
    // Whatever becomes of these, this process is still here afterwards.
    CHECK(refusal([&] { jail(TEST_DATA "/damaged-1.xls", "x")->tables(); }) != "no error");
    CHECK(refusal([&] { jail(place.write(""), "x")->tables(); }) == "the file is empty");
}

TEST_CASE("whoever waits for a reader is released when it is stopped") {
    const scratch place;
    const auto file = jail(place.write(numbers(500'000)), "x.csv");
    const auto reader = file->tables().at(0).open();
    cells row;
    REQUIRE(reader->next(row));
    ::kill(file->pid(), SIGSTOP);  // it will not answer
    std::thread other([&] { file->stop(); });
    CHECK(refusal(
              [&] {
                  while (reader->next(row)) {
                  }
              },
              errc::cancelled) == "reading the file was stopped");
    other.join();
    const auto never = jail(place.write("a\n1\n"), "x.csv");
    never->stop();
    CHECK(refusal([&] { never->tables(); }, errc::cancelled) == "reading the file was stopped");
}

TEST_CASE("the process ends with its file") {
    const scratch place;
    auto file = jail(place.write(numbers(10)), "x.csv");
    file->tables();
    const int pid = file->pid();
    file->close();
    CHECK(::kill(pid, 0) != 0);
    file.reset();
    file = jail(place.write(numbers(10)), "x.csv");
    file->tables();
    const int second = file->pid();
    file.reset();
    CHECK(::kill(second, 0) != 0);
}

namespace {

// What a taken-over process may send, and its end.
struct sent {
    explicit sent(const std::string& bytes) {
        REQUIRE(::send(pair[1], bytes.data(), bytes.size(), 0) ==
                static_cast<ssize_t>(bytes.size()));
        ::close(pair[1]);
    }
    ~sent() { ::close(pair[0]); }

    static std::array<int, 2> sockets() {
        std::array<int, 2> made{-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, made.data()) == 0);
        return made;
    }

    std::array<int, 2> pair = sockets();
    answer_stream answers{pair[0], std::chrono::seconds(10),
                          [] { return std::make_exception_ptr(error(errc::bad_input, "ended")); },
                          [] { return std::make_exception_ptr(error(errc::bad_input, "late")); }};
};

template <class Number>
std::string bytes_of(Number number) {
    return std::string(reinterpret_cast<const char*>(&number), sizeof number);
}

std::string row_bytes(std::uint32_t count, std::uint8_t kind, std::uint32_t size,
                      const std::string& text) {
    return bytes_of(std::uint64_t{7}) + bytes_of(count) + bytes_of(kind) + bytes_of(size) + text;
}

std::string row_refusal(const std::string& bytes) {
    sent one(bytes);
    cells row;
    std::uint64_t read = 0;
    return refusal([&] { one.answers.row(row, read); });
}

}  // namespace

TEST_CASE("an answer that is none is refused before memory is spent on it") {
    CHECK(row_refusal(row_bytes(1, 1, 2, "ab")) == "no error");
    const char* const nonsense = "the file is damaged: its reader answered nonsense";
    CHECK(row_refusal(row_bytes(1'601, 1, 2, "ab")) == nonsense);
    CHECK(row_refusal(row_bytes(4'000'000'000, 1, 2, "ab")) == nonsense);
    CHECK(row_refusal(row_bytes(1, 7, 2, "ab")) == nonsense);
    CHECK(row_refusal(row_bytes(1, 0, 2, "ab")) == nonsense);
    CHECK(row_refusal(row_bytes(1, 1, 4'000'000'000, "ab")) == nonsense);
    CHECK(row_refusal(row_bytes(1, 1, 2, "a\xff")) == nonsense);
    CHECK(row_refusal(row_bytes(1, 1, 2, "a\0"s)) == nonsense);
    CHECK(row_refusal(row_bytes(2, 1, 2, "ab")) == "ended");
    std::vector<std::string> names;
    CHECK(refusal([&] { sent(bytes_of(1'601u)).answers.names(names, 1'600); }) == nonsense);
    CHECK(refusal([&] {
              sent(bytes_of(1u) + bytes_of(256u) + std::string(256, 'x')).answers.names(names, 10);
          }) == nonsense);
    std::mt19937 chance(7);
    for (int i = 0; i < 2'000; ++i) {
        std::string bytes = row_bytes(2, 1, 2, "ab") + bytes_of(std::uint8_t{2}) + bytes_of(0u);
        for (int k = 0; k < 3; ++k) {
            const auto at = chance() % bytes.size();
            bytes[at] = static_cast<char>(chance());
        }
        row_refusal(bytes.substr(0, 1 + chance() % bytes.size()));
    }
}
