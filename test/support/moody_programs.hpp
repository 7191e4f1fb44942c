// PostgreSQL's programs with faults: databases that do not start, or are slow to.
#pragma once

#include "server/instances/programs.hpp"
#include "support/child.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace test {

namespace fs = std::filesystem;

/// A directory for local_server_options::postgres_programs, whose postgres fails ("broken"), is
/// slow ("slow") or hangs and ignores SIGINT and SIGQUIT ("stubborn"), while set to be so.
class moody_programs {
public:
    moody_programs() {
        const auto real = bitdotio::find_postgres_programs({}, "");
        fs::permissions(place_.path(), fs::perms(0755));  // for the user PostgreSQL runs as
        fs::create_symlink(real.initdb, place_ / "initdb");
        fs::create_symlink(real.resetwal, place_ / "pg_resetwal");
        std::ofstream(starts()).close();
        fs::permissions(starts(), fs::perms(0666));
        std::ofstream(place_ / "postgres")
            << "#!/bin/sh\n"
            << "echo start >> " << starts().string() << "\n"
            << "[ -e " << (place_ / "broken").string() << " ] && echo out of luck >&2 && exit 1\n"
            << "while [ -e " << (place_ / "slow").string() << " ]; do sleep 0.05; done\n"
            << "if [ -e " << (place_ / "stubborn").string() << " ]; then trap '' INT QUIT; "
            << "while :; do sleep 0.05; done; fi\n"
            << "exec " << real.postgres.string() << " \"$@\"\n";
        fs::permissions(place_ / "postgres", fs::perms(0755));
    }

    const fs::path& path() const { return place_.path(); }
    void be(const char* mood) const { std::ofstream(place_ / mood).close(); }
    void stop_being(const char* mood) const { fs::remove(place_ / mood); }
    // How often it has been started.
    long count() const {
        std::ifstream in(starts());
        return std::count(std::istreambuf_iterator<char>(in), {}, '\n');
    }

private:
    fs::path starts() const { return place_ / "starts"; }

    test::temporary_directory place_;
};

}  // namespace test
