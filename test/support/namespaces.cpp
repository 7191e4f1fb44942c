// Namespaces belong to threads on Linux; what a thread starts inherits them.
#include "support/namespaces.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <future>
#include <iostream>
#include <stdexcept>
#include <thread>

namespace test {

namespace fs = std::filesystem;

namespace {

// The network cards' addresses, and an address that no card has.
constexpr const char* server_card = "02:00:00:00:77:01";
constexpr const char* client_card = "02:00:00:00:77:02";
constexpr const char* no_card = "02:00:00:00:77:03";

void check(bool done, const std::string& what) {
    if (!done) {
        throw std::runtime_error("cannot " + what + ": " + std::strerror(errno));
    }
}

void ip(const std::string& words) {
    const std::string command = "ip " + words + " 2>/dev/null";
    if (std::system(command.c_str()) != 0) {
        throw std::runtime_error("ip " + words + " failed");
    }
}

int own_network() {
    const int network = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    check(network >= 0, "open a network");
    return network;
}

void change_file(const fs::path& ours, const char* theirs) {
    check(::mount(ours.c_str(), theirs, nullptr, MS_BIND, nullptr) == 0,
          std::string("put a file in place of ") + theirs);
}

}  // namespace

void on_thread(const std::function<void()>& work) {
    std::packaged_task<void()> task(work);
    auto ended = task.get_future();
    std::thread(std::move(task)).join();
    ended.get();
}

bool has_namespaces(int cases) {
    static const bool allowed = [] {
        try {
            const cable one;
            private_names().run([] {});
            return true;
        } catch (const std::runtime_error&) {
            return false;
        }
    }();
    if (!allowed) {
        std::cout << cases << " cases need network namespaces, which this machine does not allow\n";
    }
    return allowed;
}

void private_names::run(const std::function<void()>& work) {
    std::ofstream(scratch_ / "hosts").flush();
    std::ofstream(scratch_ / "resolv.conf") << "nameserver 127.0.0.253\noptions attempts:1\n";
    on_thread([&] {
        check(::unshare(CLONE_NEWNS) == 0, "have files of one's own");
        check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0,
              "keep files to oneself");
        change_file(scratch_ / "hosts", "/etc/hosts");
        change_file(scratch_ / "resolv.conf", "/etc/resolv.conf");
        work();
    });
}

void private_names::set(const std::string& name, const std::string& address) const {
    // Written in place: the others see this very file.
    std::ofstream file(scratch_ / "hosts");
    file << address << " " << name << "\n";
    if (!file.flush()) {
        throw std::runtime_error("cannot write names");
    }
}

cable::cable() {
    std::promise<pid_t> arrived;
    std::promise<void> connected;
    auto at_work = std::async(std::launch::async, [&] {
        try {
            check(::unshare(CLONE_NEWNET) == 0, "have a network of one's own");
            client_ = own_network();
        } catch (...) {
            arrived.set_exception(std::current_exception());
            return;
        }
        arrived.set_value(static_cast<pid_t>(::syscall(SYS_gettid)));
        connected.get_future().wait();
    });
    const auto connect = [&] {
        const std::string client = std::to_string(arrived.get_future().get());
        check(::unshare(CLONE_NEWNET) == 0, "have a network of one's own");
        server_ = own_network();
        ip(std::string("link add cable type veth peer name cable netns ") + client);
        ip(std::string("link set cable address ") + server_card + " up");
        ip(std::string("address add ") + server_address + "/30 dev cable");
        ip("link set lo up");
    };
    try {
        on_thread(connect);
        at_client([] {
            ip(std::string("link set cable address ") + client_card + " up");
            ip(std::string("address add ") + client_address + "/30 dev cable");
        });
        heal();
    } catch (...) {
        connected.set_value();
        at_work.wait();
        ::close(server_);
        ::close(client_);
        throw;
    }
    connected.set_value();
}

cable::~cable() {
    ::close(server_);
    ::close(client_);
}

void cable::at(int network, const std::function<void()>& work) {
    on_thread([&] {
        check(::setns(network, CLONE_NEWNET) == 0, "enter a network");
        work();
    });
}

// A packet for a card that does not exist is lost, as in a network that drops packets.
void cable::drop_requests() const {
    at_client([] {
        ip(std::string("neighbour replace ") + server_address + " lladdr " + no_card +
           " dev cable nud permanent");
    });
}

void cable::drop_replies() const {
    at_server([] {
        ip(std::string("neighbour replace ") + client_address + " lladdr " + no_card +
           " dev cable nud permanent");
    });
}

void cable::heal() const {
    at_client([] {
        ip(std::string("neighbour replace ") + server_address + " lladdr " + server_card +
           " dev cable nud permanent");
    });
    at_server([] {
        ip(std::string("neighbour replace ") + client_address + " lladdr " + client_card +
           " dev cable nud permanent");
    });
}

}  // namespace test
