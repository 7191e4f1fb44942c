// Tracks who holds which database; `backend_admin` deals with the backend itself.
#include "server/backend/backend_host.hpp"

#include <bitdotio/error.hpp>

#include "base/blocking.hpp"
#include "server/backend/backend_tls.hpp"

#include <optional>
#include <utility>

namespace bitdotio {

namespace {

namespace fs = std::filesystem;

constexpr const char* secret_file = "backend-secret";
// How many databases are made or removed at once.
constexpr std::size_t makers = 2;
// The time for sessions to end after they were told to.
constexpr std::chrono::seconds ending_patience{5};
constexpr std::chrono::milliseconds ending_interval{200};
// How often a refused session may have a database looked at.
constexpr std::chrono::seconds mending_interval{1};
// The time at the end for a backend that may itself be gone.
constexpr std::chrono::seconds closing_patience{10};

error unknown(const std::string& id) {
    return error(errc::not_found, "there is no database with the id \"" + id + "\"");
}

// All blocking work on the data directory.
struct prepared_directory {
    std::optional<data_directory> directory;
    std::optional<backend_secret> secret;
    std::shared_ptr<asio::ssl::context> tls;
};

void prepare(prepared_directory& result, const fs::path& path, const connect_options& login) {
    result.tls = make_backend_tls(login);
    result.directory.emplace(data_directory::open(path));
    const fs::path& data = result.directory->path();
    if (fs::exists(data / "postgres")) {
        throw error(errc::bad_input, "the data directory " + data.string() +
                                         " has databases of its own: give a server with a backend "
                                         "another one");
    }
    result.secret.emplace(backend_secret::open(data / secret_file));
}

}  // namespace

// A database, and how many hold it. It runs on the host's strand.
class backend_host::held final : public held_database, public std::enable_shared_from_this<held> {
public:
    held(const backend_host& all, tenant what_)
        : what(std::move(what_)),
          changed(all.strand(), no_deadline),
          strand_(all.strand()),
          admin_(all.admin_),
          tls_(all.tls_) {}

    asio::awaitable<session_target> session(std::string role, std::string) override {
        session_target target;
        target.connect = admin_->session(what, role);
        target.tls = tls_;
        target.waits = true;
        co_return target;
    }

    asio::awaitable<bool> mend() override {
        const auto self = shared_from_this();
        co_return co_await on_strand(strand_, self, do_mend());
    }

    void release(std::uint64_t) noexcept override {
        auto closed = [self = shared_from_this()]() noexcept {
            --self->count;
            self->changed.cancel();
        };
        post_work(strand_, std::move(closed));
    }

    // Waits until a holder has gone, or the database has fallen asleep.
    asio::awaitable<void> change() {
        co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto self = shared_from_this();
        boost::system::error_code ended;
        co_await changed.async_wait(asio::redirect_error(asio::use_awaitable, ended));
        const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) {
            throw error(errc::cancelled, "waiting for the database was cancelled");
        }
    }

    const tenant what;
    std::size_t count = 0;
    int falling_asleep = 0;
    asio::steady_timer changed;

private:
    asio::awaitable<bool> do_mend() {
        const time_point now = std::chrono::steady_clock::now();
        if (now - mended_ < mending_interval) co_return false;
        mended_ = now;
        try {
            const std::vector<std::string> wrong = co_await admin_->repair(what, false);
            co_return !wrong.empty();
        } catch (const error&) {  // it does not answer us either
        }
        co_return false;
    }

    time_point mended_{};
    const bitdotio::strand strand_;
    const std::shared_ptr<backend_admin> admin_;
    const std::shared_ptr<asio::ssl::context> tls_;
};

bool backend_host::has_backend(const fs::path& data_directory) {
    return !data_directory.empty() && fs::exists(data_directory / secret_file);
}

asio::awaitable<std::shared_ptr<backend_host>> backend_host::open(asio::any_io_executor executor,
                                                                  backend_host_options options) {
    const auto strand = bitdotio::strand(executor);
    return on_strand(strand, nullptr, do_open(strand, std::move(options)));
}

asio::awaitable<std::shared_ptr<backend_host>> backend_host::do_open(bitdotio::strand strand,
                                                                     backend_host_options options) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    if (options.max_connections < 1 || options.max_connections > 10'000) {
        throw error(errc::bad_input, "a database can have from 1 to 10000 connections, not " +
                                         std::to_string(options.max_connections));
    }
    const connect_options login = backend_admin::login(options.backend, options.patience);
    const auto parts = std::make_shared<prepared_directory>();
    std::function<void()> work = [parts, path = options.data_directory, login] {
        prepare(*parts, path, login);
    };
    co_await run_blocking(std::move(work));
    const auto admin = std::make_shared<backend_admin>(strand.get_inner_executor(), login,
                                                       *parts->secret, options.max_connections);
    const auto made =
        std::make_shared<backend_host>(strand, std::move(*parts->directory), admin, parts->tls);
    std::exception_ptr failure;
    try {
        const std::vector<std::string> ids = co_await admin->look();
        for (const std::string& id : ids) {
            made->add(id);
        }
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        co_await made->do_close();
        std::rethrow_exception(failure);
    }
    co_return made;
}

backend_host::backend_host(bitdotio::strand strand, data_directory directory,
                           std::shared_ptr<backend_admin> admin,
                           std::shared_ptr<asio::ssl::context> tls)
    : database_host(std::move(strand)),
      directory_(std::move(directory)),
      admin_(std::move(admin)),
      tls_(std::move(tls)),
      makers_(makers) {}

backend_host::~backend_host() = default;

std::shared_ptr<backend_host::held> backend_host::find(const std::string& id) const {
    check_open();
    const auto found = databases_.find(id);
    if (found == databases_.end()) throw unknown(id);
    return found->second;
}

void backend_host::add(const std::string& id) {
    databases_[id] = std::make_shared<held>(*this, tenant(id));
}

void backend_host::check_open() const {
    if (closed_) throw error(errc::conflict, "the server has been stopped");
}

asio::awaitable<void> backend_host::do_create(std::string id) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    check_open();
    if (databases_.contains(id) || !being_made_.insert(id).second) {
        throw error(errc::conflict, "there is a database with the id \"" + id + "\" already");
    }
    const auto mine = co_await makers_.enter();
    std::exception_ptr failure;
    try {
        check_open();
        co_await admin_->make(tenant(id));
        add(id);
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure && !closed_) {
        try {
            co_await admin_->drop(tenant(id));
        } catch (const error&) {  // the next start will do it
        }
    }
    being_made_.erase(id);
    if (failure) std::rethrow_exception(failure);
}

asio::awaitable<void> backend_host::do_remove(std::string id) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    find(id);
    const auto mine = co_await makers_.enter();
    const auto one = find(id);  // it may be gone by now
    databases_.erase(id);
    one->changed.cancel();
    co_await admin_->drop(one->what);
}

asio::awaitable<std::vector<std::string>> backend_host::do_ids() {
    std::vector<std::string> result;
    for (const auto& [id, _] : databases_) {
        result.push_back(id);
    }
    co_return result;
}

asio::awaitable<lease> backend_host::do_hold(std::string id) {
    for (;;) {
        std::optional<lease> held = hold_awake(id);
        if (held) co_return std::move(*held);
        co_await find(id)->change();  // it may be removed meanwhile
    }
}

std::optional<lease> backend_host::hold_awake(const std::string& id) {
    const auto one = find(id);
    if (one->falling_asleep > 0) return std::nullopt;
    ++one->count;
    return lease(one, 0);
}

asio::awaitable<void> backend_host::do_sleep_now(std::string id) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const auto one = find(id);
    const time_point deadline = deadline_after(ending_patience);
    ++one->falling_asleep;
    while (one->count > 0 && std::chrono::steady_clock::now() < deadline) {
        try {
            co_await with_deadline(admin_->end_all_sessions(one->what), deadline);
            // The next round finds clients that were just connecting.
            if (one->count > 0) {
                co_await with_deadline(one->change(), deadline_after(ending_interval));
            }
        } catch (const error&) {  // nobody has gone; or there is no backend, hence no sessions
        }
    }
    --one->falling_asleep;
    one->changed.cancel();
}

asio::awaitable<void> backend_host::do_wait_until_asleep(std::string id) {
    const auto one = find(id);
    while (one->count > 0) {
        co_await one->change();
    }
}

asio::awaitable<bool> backend_host::do_is_asleep(std::string id) {
    co_return find(id)->count == 0;
}

asio::awaitable<void> backend_host::do_end_sessions(std::string id,
                                                    std::vector<std::string> roles) {
    co_await admin_->end_sessions(find(id)->what, std::move(roles));
}

asio::awaitable<std::vector<std::string>> backend_host::do_repair(std::string id) {
    co_return co_await admin_->repair(find(id)->what, true);
}

asio::awaitable<std::int64_t> backend_host::do_storage_bytes(std::string id) {
    co_return co_await admin_->size_of(find(id)->what);
}

asio::awaitable<void> backend_host::do_stop() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    if (closed_) co_return;
    closed_ = true;
    // Waits for callers that make or remove a database now; those still waiting are refused.
    std::vector<async_semaphore::pass> all;
    while (all.size() < makers) {
        all.push_back(co_await makers_.enter());
    }
    const time_point deadline = deadline_after(closing_patience);
    try {
        for (const auto& [id, each] : databases_) {
            if (directory_.is_temporary()) {
                co_await with_deadline(admin_->drop(each->what), deadline);
            } else if (each->count > 0) {
                co_await with_deadline(admin_->end_all_sessions(each->what), deadline);
            }
        }
    } catch (const error&) {  // no backend, no sessions
    }
    co_await admin_->close();
}

asio::awaitable<void> backend_host::do_close() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await do_stop();
    std::function<void()> end = [this] { directory_.close(); };
    co_await run_blocking(std::move(end));
}

}  // namespace bitdotio
