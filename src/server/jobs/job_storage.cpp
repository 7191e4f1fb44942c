// Keeps the records and the files of jobs on disk, within their limits, and cleans up after
// crashes.
#include "server/base/disk_space.hpp"
#include "server/base/event_log.hpp"
#include "server/base/replace_file.hpp"
#include "server/jobs/job_ending.hpp"
#include "server/jobs/job_queue.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace bitdotio {

namespace {

namespace fs = std::filesystem;

}  // namespace

// Blocks.
void job_queue::load() {
    std::error_code failure;
    fs::create_directories(directory_, failure);
    fs::permissions(directory_, fs::perms::owner_all, failure);
    if (failure) {
        throw error(errc::system_failed,
                    "cannot make " + directory_.string() + ": " + failure.message());
    }
    for (const fs::directory_entry& each : fs::directory_iterator(directory_)) {
        if (each.path().extension() != ".json") continue;
        try {
            job_record record = job_record::from_json(read_file(each.path()).value_or(""));
            if (record.id == each.path().stem()) known_[record.id] = std::move(record);
        } catch (const error& damaged) {
            if (damaged.code() != errc::bad_input) throw;  // a failed disk, not one damaged record
        }
    }
    sweep();
    // Removes files without an owner: uploads that a crash has cut short, imports that are over.
    for (const fs::directory_entry& each : fs::directory_iterator(directory_)) {
        const auto owner = known_.find(each.path().stem().string());
        const bool needed =
            owner != known_.end() &&
            (owner->second.state == job_state::received ||
             (owner->second.kind == job_kind::export_ && owner->second.state == job_state::done));
        if (each.path().extension() == ".json" ? owner == known_.end() : !needed) {
            fs::remove(each.path(), failure);
        } else if (needed && owner->second.kind == job_kind::import_ &&
                   each.path().extension() != ".json") {
            const std::uintmax_t size = fs::file_size(each.path(), failure);
            if (!failure) uploads_[owner->first] = {owner->second.user, size};
        }
    }
}

// Forgets what ended long ago; a caller that may block removes its files.
void job_queue::sweep() {
    std::erase_if(known_, [this](const auto& entry) {
        const job_record& record = entry.second;
        const bool old =
            record.is_over() && record.date_finished && job_now() - *record.date_finished > kept_;
        if (old) removed_.insert(record.id);
        return old;
    });
}

fs::path job_queue::file_of(const std::string& id) const {
    return directory_ / (id + ".data");
}

// Writes the record and shows it.
asio::awaitable<void> job_queue::keep(job_record record) {
    std::set<std::string> gone = std::exchange(removed_, {});
    std::function<void()> work = [&] {
        replace_file(directory_ / (record.id + ".json"), record.to_json());
        std::error_code ignored;
        for (const std::string& id : gone) {
            fs::remove(file_of(id), ignored);
            fs::remove(directory_ / (id + ".json"), ignored);
        }
        if (record.is_over() &&
            (record.kind == job_kind::import_ || record.state == job_state::failed)) {
            fs::remove(file_of(record.id), ignored);
        }
    };
    try {
        co_await threads_->run(work);
    } catch (...) {
        removed_.merge(gone);  // the next `keep` removes them
        throw;
    }
    known_[record.id] = record;
    if (record.is_over()) uploads_.erase(record.id);
}

asio::awaitable<void> job_queue::take_upload(std::string id, std::string account,
                                             std::uint64_t bytes) {
    return on_strand(strand_, shared_from_this(),
                     do_take_upload(std::move(id), std::move(account), bytes));
}

asio::awaitable<void> job_queue::do_take_upload(std::string id, std::string account,
                                                std::uint64_t bytes) {
    std::uint64_t of_account = bytes;
    std::uint64_t in_all = bytes;
    for (const auto& [other, sent] : uploads_) {
        in_all += sent.bytes;
        if (sent.account == account) of_account += sent.bytes;
    }
    if (of_account > limits_.uploads_of_account) {
        throw no_room("the files that wait for their import may have " +
                      std::to_string(limits_.uploads_of_account) +
                      " bytes together: wait until an import is over");
    }
    if (in_all > limits_.uploads_in_all) {
        throw no_room("too many files wait for their import: try again later");
    }
    upload& mine = uploads_[id];
    mine.account = std::move(account);
    mine.bytes += bytes;
    co_return;
}

asio::awaitable<void> job_queue::drop_upload(std::string id) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await on_strand(strand_, shared_from_this(), do_drop_upload(std::move(id)));
}

asio::awaitable<void> job_queue::do_drop_upload(std::string id) {
    std::function<void()> remove = [&] {
        std::error_code ignored;
        fs::remove(file_of(id), ignored);
    };
    uploads_.erase(id);
    co_await threads_->run(remove);
}

// Forgets the account's oldest job that is over, or that has kept a file; false if there is none.
bool job_queue::forget_oldest(const std::string& account, bool only_files) {
    auto oldest = known_.end();
    for (auto at = known_.begin(); at != known_.end(); ++at) {
        const job_record& record = at->second;
        const bool has_file = record.kind == job_kind::export_ && record.state == job_state::done;
        if (record.user != account || !record.is_over() || (only_files && !has_file)) continue;
        if (oldest == known_.end() || record.date_created < oldest->second.date_created) {
            oldest = at;
        }
    }
    if (oldest == known_.end()) return false;
    removed_.insert(oldest->first);
    known_.erase(oldest);
    return true;
}

void job_queue::make_room_for(const job_record& wanted) {
    const auto text_of = [](const job_record& record) {
        return record.export_.query.size() + record.file_url.size();
    };
    std::size_t mine = 0;
    std::size_t my_text = text_of(wanted);
    std::size_t all_text = my_text;
    for (const auto& [id, record] : known_) {
        all_text += text_of(record);
        if (record.user != wanted.user) continue;
        ++mine;
        my_text += text_of(record);
    }
    if (my_text > limits_.statements_of_account || all_text > limits_.statements_in_all) {
        throw no_room(
            "the statements of exports that wait are too long together: wait until an export is "
            "over");
    }
    for (; mine >= limits_.jobs_of_account || known_.size() >= limits_.jobs_in_all; --mine) {
        if (mine > 0 && forget_oldest(wanted.user, false)) continue;
        throw no_room("too many imports and exports wait or run: wait until one is over");
    }
}

// Makes room for the file of an export that has just ended, or lets the export fail.
void job_queue::make_room_for_file(job_record& done) {
    while (true) {
        std::uint64_t mine = done.size;
        std::uint64_t all = done.size;
        for (const auto& [id, record] : known_) {
            if (record.kind != job_kind::export_ || record.state != job_state::done) continue;
            all += record.size;
            if (record.user == done.user) mine += record.size;
        }
        if (mine <= limits_.exports_of_account && all <= limits_.exports_in_all) return;
        if (forget_oldest(done.user, true)) continue;
        fail(done, "too_large",
             "there is no room to keep an exported file of " + std::to_string(done.size) +
                 " bytes: export less, or try again when other files have expired");
        return;
    }
}

}  // namespace bitdotio
