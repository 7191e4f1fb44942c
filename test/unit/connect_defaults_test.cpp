// Where connect options come from when they are not given: the same places as for psql.
#include "postgres/connect_defaults.hpp"

#include "postgres/conninfo.hpp"
#include "support/child.hpp"
#include "support/environment.hpp"

#include <bitdotio/connect_options.hpp>

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace bitdotio;
namespace fs = std::filesystem;

// A test's own home directory and environment.
class world {
public:
    world() {
        for (const char* name :
             {"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE",
              "PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR", "PGSSLMODE", "PGOPTIONS", "PGAPPNAME",
              "PGTARGETSESSIONATTRS", "PGSSLROOTCERT"}) {
            set(name, std::nullopt);
        }
        set("HOME", home().string());
    }
    ~world() {
        while (!variables_.empty()) {
            variables_.pop_back();
        }
    }
    world(const world&) = delete;
    world& operator=(const world&) = delete;

    fs::path home() const { return home_.path(); }
    void set(const std::string& name, const std::optional<std::string>& value) {
        variables_.push_back(std::make_unique<test::scoped_variable>(name, value));
    }
    std::string write(const std::string& name, const std::string& text) const {
        const fs::path path = home() / name;
        fs::create_directories(path.parent_path());
        std::ofstream(path) << text;
        fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
        return path.string();
    }

private:
    test::temporary_directory home_;
    std::vector<std::unique_ptr<test::scoped_variable>> variables_;
};

TEST_CASE("with nothing said, it is the local socket, the system's user and its database") {
    const world here;
    const auto options = connect_options::from_environment();
    REQUIRE(options.hosts.size() == 1);
    CHECK(options.hosts[0] == host_port(default_socket_directory(), 5432));
    CHECK_FALSE(options.user.empty());
    CHECK(options.user != "api_user");
    CHECK(options.database == options.user);
    CHECK(options.password_file == (here.home() / ".pgpass").string());
    CHECK(options.tls == tls_mode::verify_full);
    CHECK(options.certificate_file.empty());
}

TEST_CASE("the string goes before the service, the service before the environment") {
    world here;
    here.write(".pg_service.conf", "[shop]\nhost=service.example\nuser=service\nport=2\n");
    here.set("PGHOST", "env.example");
    here.set("PGUSER", "env");
    here.set("PGDATABASE", "env");
    here.set("PGTARGETSESSIONATTRS", "primary");
    const auto options = connect_options::from_environment("service=shop user=text");
    CHECK(options.hosts.at(0) == host_port("service.example", 2));
    CHECK(options.user == "text");
    CHECK(options.database == "env");
    CHECK(options.target_session_attrs == session_attributes::primary);
    CHECK(connect_options::from_environment().hosts.at(0).host == "env.example");
    here.set("PGSERVICE", "shop");
    CHECK(connect_options::from_environment().user == "service");
}

TEST_CASE("a service is looked for in the named file, at home, then in the system's directory") {
    world here;
    here.write(".pg_service.conf", "[one]\nhost=home\n");
    here.write("etc/pg_service.conf", "[one]\nhost=system\n[two]\nhost=system\n");
    here.set("PGSYSCONFDIR", (here.home() / "etc").string());
    const auto host = [](const char* text) {
        return connect_options::from_environment(text).hosts.at(0).host;
    };
    CHECK(host("service=one") == "home");
    CHECK(host("service=two") == "system");
    here.set("PGSERVICEFILE", here.write("named", "[one]\nhost=named\n"));
    CHECK(host("service=one") == "named");
    CHECK(host("service=two") == "system");
    const auto complaint = [](const char* text) -> std::string {
        try {
            connect_options::from_environment(text);
        } catch (const error& failure) {
            CHECK(failure.code() == errc::bad_input);
            return failure.what();
        }
        return "";
    };
    CHECK(complaint("service=three").find("\"three\"") != std::string::npos);
    here.set("PGSERVICEFILE", (here.home() / "missing").string());
    CHECK(complaint("service=one").find("missing") != std::string::npos);
}

TEST_CASE("certificates in the home directory are taken where they are") {
    const world here;
    here.write(".postgresql/root.crt", "x");
    here.write(".postgresql/postgresql.crt", "x");
    here.write(".postgresql/postgresql.key", "x");
    const auto options = connect_options::from_environment("sslcert=/mine.pem");
    CHECK(options.ca_file == (here.home() / ".postgresql/root.crt").string());
    CHECK(options.certificate_file == "/mine.pem");
    CHECK(options.key_file == (here.home() / ".postgresql/postgresql.key").string());
    CHECK(options.crl_file.empty());
}

TEST_CASE("an address without a name does not become the local socket") {
    const world here;
    const auto options = connect_options::from_environment("hostaddr=10.0.0.1");
    REQUIRE(options.hosts.size() == 1);
    CHECK(options.hosts[0] == host_port("", 5432, "10.0.0.1"));
}

TEST_CASE("a password file that others may read is ignored, and says so") {
    const world here;
    const std::string path = here.write("passwords", "*:*:*:*:secret\n");
    CHECK(read_password_file(path).text == "*:*:*:*:secret\n");
    CHECK(read_password_file(path).ignored.empty());
    fs::permissions(path, fs::perms::group_read, fs::perm_options::add);
    const password_file open = read_password_file(path);
    CHECK(open.text.empty());
    CHECK(open.ignored.find(path) != std::string::npos);
    CHECK(open.ignored.find("0600") != std::string::npos);
    CHECK(read_password_file((here.home() / "missing").string()).ignored.empty());
    CHECK(read_password_file(here.home().string()).text.empty());
}

}  // namespace
