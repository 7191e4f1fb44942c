// Gives jobs their turns, and ends them, also those that a stop cuts short.
#include "server/jobs/job_queue.hpp"
#include "server/base/disk_space.hpp"
#include "server/base/event_log.hpp"
#include "server/base/replace_file.hpp"
#include "server/catalog/key_secret.hpp"
#include "server/catalog/rate_limiter.hpp"
#include "server/formats/job_failure.hpp"
#include "server/jobs/job_ending.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace bitdotio {

namespace {

namespace fs = std::filesystem;

// More jobs would only share the same disk and processors. One place is out of reach of whoever has
// the others.
constexpr std::size_t at_once = 3;
constexpr std::size_t at_once_of_account = 2;
constexpr std::size_t fetches_at_once = 8;
constexpr std::size_t fetches_of_account = 2;
// Jobs that are not over.
constexpr std::size_t most_jobs = 500;
constexpr std::size_t most_jobs_of_account = 50;
constexpr std::chrono::seconds try_again{10};

// At most `most` octets of UTF-8, and no part of a character.
std::string cut(std::string text, std::size_t most) {
    if (text.size() <= most) return text;
    while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0) == 0x80) {
        --most;
    }
    return text.substr(0, most) + " …";
}

}  // namespace

job_queue::job_queue(asio::any_io_executor executor, std::shared_ptr<worker_threads> threads,
                     fs::path directory, std::chrono::milliseconds kept, task doing, listener tell,
                     std::shared_ptr<const event_log> events, job_limits limits, fetch fetching)
    : strand_(executor),
      directory_(std::move(directory)),
      kept_(kept),
      task_(std::move(doing)),
      fetch_(std::move(fetching)),
      tell_(std::move(tell)),
      events_(std::move(events)),
      threads_(std::move(threads)),
      limits_(limits),
      fetches_(fetches_at_once, fetches_of_account),
      turns_(at_once, at_once_of_account),
      ended_(strand_, no_deadline) {}

asio::awaitable<std::shared_ptr<job_queue>> job_queue::open(
    asio::any_io_executor executor, std::shared_ptr<worker_threads> threads, fs::path directory,
    std::chrono::milliseconds kept, task doing, listener tell, std::shared_ptr<event_log> events,
    job_limits limits, fetch fetching) {
    const auto made = std::make_shared<job_queue>(
        executor, std::move(threads), std::move(directory), kept, std::move(doing), std::move(tell),
        std::move(events), limits, std::move(fetching));
    co_await on_strand(made->strand_, made, made->do_open());
    co_return made;
}

asio::awaitable<void> job_queue::do_open() {
    std::function<void()> work = [this] { load(); };
    co_await threads_->run(work);
    std::vector<job_record> waiting;
    for (auto& [id, record] : known_) {
        if (record.state == job_state::processing) {
            fail(record, "interrupted",
                 "the server ended while this job was under way; nothing was imported or "
                 "exported: start it again");
            co_await keep(record);
        } else if (record.state == job_state::received) {
            waiting.push_back(record);
        }
    }
    std::sort(waiting.begin(), waiting.end(), [](const job_record& left, const job_record& right) {
        return left.date_created < right.date_created;
    });
    for (const job_record& each : waiting)
        begin(each.id);
}

asio::awaitable<void> job_queue::check_room(std::string account) {
    return on_strand(strand_, shared_from_this(), do_check_room(std::move(account)));
}

asio::awaitable<void> job_queue::do_check_room(std::string account) {
    refuse_if_full(account);
    co_return;
}

void job_queue::refuse_if_full(const std::string& account) const {
    if (closing_) throw error(errc::server_busy, "the server is stopping");
    std::size_t all = 0;
    std::size_t own = 0;
    for (const auto& [id, record] : known_) {
        if (record.is_over()) continue;
        ++all;
        own += record.user == account;
    }
    if (own >= most_jobs_of_account) {
        throw too_often(std::to_string(own) +
                            " imports and exports of this account are waiting or under way: try "
                            "again when some of them are over",
                        try_again);
    }
    if (all >= most_jobs) {
        throw error(errc::server_busy,
                    "too many imports and exports are waiting on this server: try again later");
    }
}

asio::awaitable<job_record> job_queue::add(job_record wanted) {
    return on_strand(strand_, shared_from_this(), do_add(std::move(wanted)));
}

asio::awaitable<job_record> job_queue::do_add(job_record wanted) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    refuse_if_full(wanted.user);
    sweep();
    make_room_for(wanted);
    wanted.state = job_state::received;
    wanted.date_created = job_now();
    co_await keep(wanted);
    if (!closing_) begin(wanted.id);
    co_return wanted;
}

asio::awaitable<std::optional<job_record>> job_queue::find(std::string id) {
    return on_strand(strand_, shared_from_this(), do_find(std::move(id)));
}

asio::awaitable<std::optional<job_record>> job_queue::do_find(std::string id) {
    const auto found = known_.find(id);
    if (found == known_.end()) co_return std::nullopt;
    co_return found->second;
}

asio::awaitable<std::vector<job_record>> job_queue::all() {
    return on_strand(strand_, shared_from_this(), do_all());
}

asio::awaitable<std::vector<job_record>> job_queue::do_all() {
    std::vector<job_record> told;
    for (const auto& [id, record] : known_)
        told.push_back(record);
    std::sort(told.begin(), told.end(), [](const job_record& left, const job_record& right) {
        return left.date_created > right.date_created;
    });
    co_return told;
}

void job_queue::begin(const std::string& id) {
    const auto signal = std::make_shared<asio::cancellation_signal>();
    begun_[id] = signal;
    auto ended = [self = shared_from_this(), id](std::exception_ptr thrown) noexcept {
        failure_report(self->events_, "the jobs")(thrown);
        self->begun_.erase(id);
        self->ended_.cancel();
    };
    spawn_alone(strand_, run(id), std::move(ended), signal);
}

// Runs a job from the queue to its end. `close` waits for it.
asio::awaitable<void> job_queue::run(std::string id) {
    std::exception_ptr thrown;
    try {
        const std::string account = known_.at(id).user;
        if (fetch_ && !known_.at(id).file_url.empty()) {
            const auto mine = co_await fetches_.enter(account);
            co_await fetch_file(id);
        }
        if (known_.at(id).is_over()) co_return;
        const auto mine = co_await turns_.enter(account);
        co_await carry_out(id);
    } catch (...) {
        // A closing server leaves a waiting job to its next start. A job whose file was fetched
        // already has failed, as it has if the disk takes no records.
        if (!closing_) throw;
        thrown = std::current_exception();
    }
    if (thrown && known_.at(id).state == job_state::processing) co_await finish(id, thrown);
}

// Fetches a job's file, before it has its turn.
asio::awaitable<void> job_queue::fetch_file(std::string id) {
    if (closing_) co_return;
    job_record record = known_.at(id);
    record.state = job_state::processing;
    co_await keep(record);
    std::exception_ptr thrown;
    try {
        record.file_name = co_await fetch_(record, file_of(id));
    } catch (...) {
        thrown = std::current_exception();
    }
    if (thrown) {
        co_await finish(id, thrown);
    } else {
        co_await keep(record);
    }
}

asio::awaitable<void> job_queue::carry_out(std::string id) {
    if (closing_ && known_.at(id).state == job_state::received) co_return;
    job_record record = known_.at(id);
    record.state = job_state::processing;
    co_await keep(record);
    std::exception_ptr thrown;
    count_retry again = [this, id] { return retry(id); };
    try {
        co_await task_(record, file_of(id), again);
    } catch (...) {
        thrown = std::current_exception();
    }
    co_await finish(id, thrown);
}

// Notes how a job has ended: by what it threw, or well if that is null.
asio::awaitable<void> job_queue::finish(std::string id, std::exception_ptr thrown) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    job_record record = known_.at(id);
    record.state = job_state::done;
    record.date_finished = job_now();
    if (thrown) {
        fail_by(record, thrown);
    } else if (record.kind == job_kind::export_) {
        std::function<void()> work = [&] { record.size = fs::file_size(file_of(id)); };
        co_await threads_->run(work);
        make_room_for_file(record);
    }
    // A job that is over needs neither, and both may be long or hold secrets.
    record.export_.query.clear();
    record.file_url.clear();
    record.error_message = cut(std::move(record.error_message), limits_.error_message);
    co_await keep(record);
    if (tell_) tell_(record);
}

// The caller is told why, except what the server itself failed at: that is for its log.
void job_queue::fail_by(job_record& record, const std::exception_ptr& thrown) const {
    std::string type = "internal";
    std::string words;
    bool cancelled = false;
    try {
        std::rethrow_exception(thrown);
    } catch (const error& failure) {
        type = kind_of(failure);
        words = words_of(failure);
        cancelled = failure.code() == errc::cancelled;
        const auto* own = dynamic_cast<const job_failure*>(&failure);
        if (own && !own->details().empty() && events_) {
            server_event event("job_refused");
            event.with("job", record.id).with("reason", own->details());
            events_->tell(event);
        }
    } catch (...) {  // the log has it
        cancelled = true;
    }
    if (closing_ && cancelled) {
        fail(record, "interrupted",
             "the server was stopped while this job was under way; nothing was imported or "
             "exported: start it again");
        return;
    }
    fail(record, type, words);
    if (type != "internal" && !(type == "unavailable" && name_a_file(words))) return;
    record.error_message = words_for_caller(record.error_id);
    if (events_) events_->failed("the jobs", thrown, record.error_id);
}

asio::awaitable<void> job_queue::retry(std::string id) {
    job_record record = known_.at(id);
    ++record.retries;
    co_await keep(record);
}

asio::awaitable<void> job_queue::close() {
    return on_strand(strand_, shared_from_this(), do_close());
}

asio::awaitable<void> job_queue::do_close() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    closing_ = true;
    std::vector<std::string> under_way;
    for (const auto& [id, signal] : begun_)
        under_way.push_back(id);
    for (const std::string& id : under_way) {
        const auto found = begun_.find(id);
        if (found == begun_.end()) continue;
        const auto signal = found->second;
        signal->emit(asio::cancellation_type::terminal);
    }
    while (!begun_.empty()) {
        boost::system::error_code ended;
        co_await ended_.async_wait(asio::redirect_error(asio::use_awaitable, ended));
    }
}

}  // namespace bitdotio
