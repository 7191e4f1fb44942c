// Networks and files of a thread's own, where the machine allows them: networks that really drop
// packets, names that resolve to what a test says.
#pragma once

#include "support/child.hpp"

#include <cstdint>
#include <exception>
#include <functional>
#include <string>

namespace test {

/// Whether this machine allows namespaces and has the program `ip`. If not it prints, once, how
/// many cases are skipped, in words that test/run repeats.
bool has_namespaces(int cases);

/// Runs `work` on a thread of its own and waits for it; throws what it throws.
void on_thread(const std::function<void()>& work);

/// Runs `work` on a thread that sees other files in place of /etc/hosts and /etc/resolv.conf: ours,
/// and a name server that does not answer. Threads it starts see them too.
///
/// Errors: std::runtime_error if that is not allowed.
class private_names {
public:
    /// At first no name is known, and a lookup fails temporarily, not for good.
    void run(const std::function<void()>& work);
    /// From now on `name` is `address`; any thread may call it.
    void set(const std::string& name, const std::string& address) const;

private:
    temporary_directory scratch_;
};

/// Two networks of their own, joined by one cable that can be made to drop everything.
///
/// Lifetime: threads that run in it, and processes started by them, keep it alive.
class cable {
public:
    static constexpr const char* server_address = "198.18.77.1";
    static constexpr const char* client_address = "198.18.77.2";

    /// Errors: std::runtime_error if that is not allowed.
    cable();
    ~cable();
    cable(const cable&) = delete;
    cable& operator=(const cable&) = delete;

    /// Runs `work` at an end, on a thread of its own, and waits for it; threads it starts run there
    /// too. Throws what it throws.
    void at_server(const std::function<void()>& work) const { at(server_, work); }
    void at_client(const std::function<void()>& work) const { at(client_, work); }

    /// From here on packets from the client, or to it, are lost without a notice.
    void drop_requests() const;
    void drop_replies() const;
    void heal() const;

private:
    static void at(int network, const std::function<void()>& work);

    int server_ = -1;
    int client_ = -1;
};

}  // namespace test
