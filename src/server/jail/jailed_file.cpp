// Asks for rows ahead, so that the process reads while the server writes.
#include "server/jail/jailed_file.hpp"

#include <bitdotio/error.hpp>

#include <signal.h>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace bitdotio {

namespace {

// Batches of rows that are asked for ahead.
constexpr std::size_t ahead = 2;
// A process may wait for its processor, and for its disk.
constexpr std::uint64_t times_processor = 4;

std::chrono::seconds longest_wait(std::uint64_t file_size) {
    return std::chrono::seconds(times_processor * row_protocol::seconds_for(file_size));
}

error stopped() {
    return error(errc::cancelled, "reading the file was stopped");
}

error out_of_memory() {
    return error(errc::bad_input, "reading the file takes more than 1 GiB of memory");
}

}  // namespace

class jailed_file::reader final : public table_reader {
public:
    reader(std::shared_ptr<jailed_file> file, std::uint32_t table) : file_(std::move(file)) {
        file_->begin(table);
        turn_ = file_->turn_;
        file_->expect(row_protocol::answer::opened);
        words_.before = file_->answers_->text(3 * longest_name);
        words_.after = file_->answers_->text(3 * longest_name);
        file_->expect(row_protocol::answer::names);
        file_->answers_->names(names_, most_columns);
        for (std::size_t i = 0; i < ahead; ++i)
            file_->ask_for_rows();
    }

    bool next(cells& row) override {
        if (turn_ != file_->turn_) throw std::logic_error("another reader has begun");
        while (!over_) {
            const row_protocol::answer what = file_->next_answer();
            switch (what) {
                case row_protocol::answer::row:
                    number_ = file_->answers_->row(row, read_);
                    if (read_ > most_text(file_->size_)) {
                        throw error(errc::bad_input,
                                    "the file unpacks to more than is allowed, in " + place());
                    }
                    return true;
                case row_protocol::answer::names:
                    file_->answers_->names(names_, most_columns);
                    break;
                case row_protocol::answer::pause:
                    --file_->owed_;
                    file_->ask_for_rows();
                    break;
                case row_protocol::answer::end:
                    --file_->owed_;
                    over_ = true;
                    break;
                default: throw file_->told_failure(what);
            }
        }
        return false;
    }

    const std::vector<std::string>& names() const override { return names_; }
    place_words words() const override { return words_; }
    std::uint64_t number() const override { return number_; }

private:
    const std::shared_ptr<jailed_file> file_;
    std::uint64_t turn_ = 0;
    place_words words_;
    std::vector<std::string> names_;
    std::uint64_t number_ = 0;
    std::uint64_t read_ = 0;
    bool over_ = false;
};

jailed_file::jailed_file(std::filesystem::path file, std::string name, header_row header,
                         listener died)
    : path_(std::move(file)), name_(std::move(name)), header_(header), died_(std::move(died)) {}

void jailed_file::start() {
    if (stopped_) throw stopped();
    size_ = std::filesystem::file_size(path_);
    process_ = std::make_unique<reader_process>(path_, name_, header_);
    answers_ = std::make_unique<answer_stream>(
        process_->socket(), longest_wait(size_), [this] { return how_it_ended(); },
        [this] { return took_too_long(); });
    running_ = process_.get();
    if (stopped_) process_->kill();  // `stop` came while there was none yet
}

std::vector<table_source> jailed_file::tables() {
    start();
    expect(row_protocol::answer::tables);
    std::vector<std::string> names;
    answers_->names(names, most_tables);
    std::vector<table_source> tables;
    for (std::uint32_t i = 0; i < names.size(); ++i) {
        table_source table;
        table.name = names[i];
        table.open = [self = shared_from_this(), i] { return std::make_unique<reader>(self, i); };
        tables.push_back(std::move(table));
    }
    return tables;
}

void jailed_file::stop() noexcept {
    stopped_ = true;
    reader_process* const running = running_;
    if (running) running->kill();
}

void jailed_file::close() {
    if (!process_) return;
    process_->kill();
    process_->wait();
    if (!failure_) failure_ = error(errc::cancelled, "the file was closed");
}

row_protocol::answer jailed_file::next_answer() {
    if (failure_) throw *failure_;
    return answers_->next();
}

void jailed_file::expect(row_protocol::answer wanted) {
    const row_protocol::answer what = next_answer();
    if (what != wanted) throw told_failure(what);
}

void jailed_file::ask_for_rows() {
    answers_->ask(row_protocol::ask::rows);
    ++owed_;
}

// Begins a table, after what the reader before has asked for has been read past.
void jailed_file::begin(std::uint32_t table) {
    ++turn_;
    cells ignored_row;
    std::uint64_t ignored = 0;
    while (owed_ > 0) {
        const row_protocol::answer what = next_answer();
        switch (what) {
            case row_protocol::answer::row: answers_->row(ignored_row, ignored); break;
            case row_protocol::answer::names: {
                std::vector<std::string> names;
                answers_->names(names, most_columns);
                break;
            }
            case row_protocol::answer::pause:
            case row_protocol::answer::end: --owed_; break;
            default: throw told_failure(what);
        }
    }
    answers_->ask(row_protocol::ask::open, table);
}

// The answer that was begun is a failure, or nonsense.
error jailed_file::told_failure(row_protocol::answer what) {
    if (what != row_protocol::answer::failure) throw answer_stream::nonsense();
    const row_protocol::why why = answers_->why();
    const std::string words = answers_->text(row_protocol::longest_words);
    switch (why) {
        case row_protocol::why::bad_file: failure_ = error(errc::bad_input, words); break;
        case row_protocol::why::memory: failure_ = out_of_memory(); break;
        case row_protocol::why::system:
            failure_ = error(errc::system_failed,
                             "a process that reads files cannot be locked up: " + words);
            break;
        default: failure_ = error(errc::bad_input, "the file cannot be read");
    }
    return *failure_;
}

std::exception_ptr jailed_file::end(const error& why, const std::string& how) {
    process_->kill();
    const reader_process::end ended = process_->wait();
    failure_ = why;
    if (died_ && why.code() != errc::cancelled) died_(how, ended.processor.count());
    return std::make_exception_ptr(why);
}

std::exception_ptr jailed_file::how_it_ended() {
    if (stopped_) return end(stopped(), "");
    const int signal = process_->wait().signal;
    const std::string how = signal == 0 ? "it ended early" : "signal " + std::to_string(signal);
    switch (signal) {
        case SIGXCPU:
            return end(error(errc::bad_input, "reading the file takes more than " +
                                                  std::to_string(row_protocol::seconds_for(size_)) +
                                                  " seconds of processor time"),
                       how);
        case SIGKILL:
            return end(error(errc::bad_input,
                             "the system ended the reading of the file, probably "
                             "because it took too much memory"),
                       how);
        default:
            return end(
                error(errc::bad_input, "the file is damaged: its reader crashed and was ended"),
                how);
    }
}

std::exception_ptr jailed_file::took_too_long() {
    return end(error(errc::bad_input, "reading the file takes more than " +
                                          std::to_string(longest_wait(size_).count()) + " seconds"),
               "too long");
}

}  // namespace bitdotio
