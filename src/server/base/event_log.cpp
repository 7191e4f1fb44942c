// Counts events under a mutex and logs them without it.
#include "server/base/event_log.hpp"

#include <bitdotio/error.hpp>

#include "base/percent_encoding.hpp"

#include <boost/system/system_error.hpp>

#include <cxxabi.h>
#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <system_error>
#include <typeinfo>
#include <utility>

namespace bitdotio {

namespace {

double seconds_of(std::chrono::steady_clock::duration time) {
    return std::chrono::duration<double>(time).count();
}

std::string name_of(const std::type_info& type) {
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> name(
        abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), &std::free);
    return name ? name.get() : type.name();
}

std::int64_t milliseconds_of(std::chrono::steady_clock::duration time) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
}

}  // namespace

class event_log::visit {
public:
    visit(std::shared_ptr<event_log> events, std::uint64_t number)
        : events_(std::move(events)), number_(number) {}
    ~visit() {
        std::optional<open_visit> ended;
        {
            const std::lock_guard held(events_->mutex_);
            const auto found = events_->known_.visits.find(number_);
            if (found == events_->known_.visits.end()) return;
            ended = std::move(found->second);
            events_->known_.visits.erase(found);
            const auto about = events_->known_.databases.find(ended->facts.database_id);
            if (about != events_->known_.databases.end() && about->second.sessions > 0) {
                --about->second.sessions;
                about->second.last_used = clock::now();
            }
        }
        server_event event("session_ended");
        event.with("database", ended->facts.database)
            .with("account", ended->facts.account)
            .with("peer", ended->facts.peer)
            .with("seconds", std::chrono::duration<double>(clock::now() - ended->since).count());
        events_->tell(event);
    }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;

private:
    const std::shared_ptr<event_log> events_;
    const std::uint64_t number_;
};

event_log::figures event_log::look() const {
    const std::lock_guard held(mutex_);
    figures told = known_;
    told.rows_queried = rows_;
    told.certificate_expires = expires_;
    return told;
}

void event_log::tell(const server_event& event) const noexcept {
    if (!log_) return;
    try {
        log_(event);
    } catch (...) {
        // A log that fails must not take the server down, whatever it throws.
    }
}

void event_log::failed(std::string_view part, const std::exception_ptr& thrown,
                       const std::string& error_id) const noexcept {
    if (!thrown) return;
    try {
        server_event event("internal_failure");
        event.with("part", std::string(part)).with("reason", loggable_failure(thrown));
        if (!error_id.empty()) event.with("error_id", error_id);
        tell(event);
    } catch (...) {
        // Out of memory: there is none for a log line either.
    }
}

void event_log::note(const instance_event& event) {
    using what = instance_event::what;
    const bool woke = event.kind == what::woke;
    const bool failed = event.kind == what::failed;
    {
        const std::lock_guard held(mutex_);
        database_figures& about = known_.databases[event.id];
        if (event.kind != what::slept) about.last_used = clock::now();
        if (woke) {
            ++about.wakes;
            ++known_.wakes;
            known_.wake_durations.add(seconds_of(event.took));
        } else if (failed) {
            ++about.failed_wakes;
            ++known_.failed_wakes;
        }
    }
    if (event.kind == what::used) return;
    server_event line(woke ? "wake" : failed ? "wake_failed" : "sleep");
    line.with("database_id", event.id);
    if (woke) line.with("milliseconds", milliseconds_of(event.took));
    if (!event.words.empty()) line.with("reason", event.words);
    tell(line);
}

void event_log::forget_database(const std::string& id) {
    const std::lock_guard held(mutex_);
    known_.databases.erase(id);
}

std::shared_ptr<void> event_log::admitted(visit_facts facts) {
    server_event event("session_admitted");
    event.with("database", facts.database).with("account", facts.account).with("peer", facts.peer);
    std::uint64_t number = 0;
    {
        const std::lock_guard held(mutex_);
        number = next_visit_++;
        ++known_.sessions_admitted;
        ++known_.databases[facts.database_id].sessions;
        known_.visits[number] = open_visit{std::move(facts), clock::now()};
    }
    tell(event);
    return std::make_shared<visit>(shared_from_this(), number);
}

void event_log::refused(std::string_view sqlstate, const std::string& database,
                        const std::string& peer) {
    {
        const std::lock_guard held(mutex_);
        ++known_.refused[std::string(sqlstate)];
    }
    server_event event("session_refused");
    event.with("sqlstate", std::string(sqlstate));
    if (!database.empty()) event.with("database", database);
    event.with("peer", peer);
    tell(event);
}

void event_log::answered(std::string_view method, std::string_view target, int status,
                         std::chrono::steady_clock::duration took, const std::string& account) {
    {
        const std::lock_guard held(mutex_);
        const int digit = status / 100;
        ++known_.answers[digit >= 1 && digit <= 5 ? static_cast<std::size_t>(digit) : 0];
    }
    server_event event("api_request");
    event.with("method", std::string(method.substr(0, 16)))
        .with("path", loggable_path(target))
        .with("status", std::int64_t{status})
        .with("milliseconds", milliseconds_of(took));
    if (!account.empty()) event.with("account", account);
    tell(event);
}

void event_log::moved(const std::string& job, std::size_t bytes) {
    const std::lock_guard held(mutex_);
    known_.moved[job] += bytes;
}

void event_log::job_ended(const std::string& job, bool failed) {
    const std::lock_guard held(mutex_);
    known_.moved.erase(job);
    ++(failed ? known_.jobs_failed : known_.jobs_done);
}

std::string loggable_failure(const std::exception_ptr& thrown) {
    try {
        std::rethrow_exception(thrown);
    } catch (const error& failure) {
        // PostgreSQL's words may quote a statement.
        if (failure.sqlstate().empty()) return failure.what();
        return std::string(to_string(failure.code())) + ", SQLSTATE " + failure.sqlstate();
    } catch (const boost::system::system_error& failure) {
        return failure.code().message();
    } catch (const std::filesystem::filesystem_error& failure) {
        return failure.what();  // with the file's name
    } catch (const std::system_error& failure) {
        return failure.code().message();
    } catch (const std::exception& failure) {
        return name_of(typeid(failure));
    } catch (...) {
        return "something that is no std::exception";
    }
}

std::string words_for_caller(const std::string& error_id) {
    return "the server failed at this, by no fault of yours: its log says why beside the id " +
           error_id;
}

bool name_a_file(std::string_view words) noexcept {
    for (std::size_t at = words.find('/'); at != words.npos; at = words.find('/', at + 1)) {
        if (at == 0 || std::string_view(" \"'(:=").find(words[at - 1]) != words.npos) return true;
    }
    return false;
}

bool is_unforeseen(const std::exception_ptr& thrown) noexcept {
    try {
        if (thrown) std::rethrow_exception(thrown);
        return false;
    } catch (const error&) {
        return false;
    } catch (const boost::system::system_error&) {
        return false;
    } catch (...) {
        return true;
    }
}

std::string loggable_path(std::string_view target) {
    // A target may also be a whole URL, with a user and a password in it.
    if (!target.starts_with('/')) return "";
    constexpr std::size_t most = 200;
    const std::string path = percent_decoded(target.substr(0, target.find_first_of("?#")));
    std::string shown;
    for (std::size_t i = 0; i < path.size() && shown.size() < most; ++i) {
        shown += path[i];
        if (shown.ends_with("v2_")) {
            shown += "…";
            i = std::min(path.find('/', i), path.size()) - 1;
        }
    }
    return shown;
}

}  // namespace bitdotio
