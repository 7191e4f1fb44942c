// Gathers small answers, and writes large texts without a copy.
#include "import_reader/answers.hpp"

#include <bitdotio/error.hpp>

#include "server/formats/column_types.hpp"
#include "server/formats/utf8.hpp"

#include <unistd.h>
#include <cerrno>

namespace bitdotio {

namespace {

// Before anything is put: an error must not stand in the middle of an answer.
void check_name(std::string_view name) {
    if (!is_text(name)) throw error(errc::bad_input, "a name in the file is not UTF-8");
}

}  // namespace

void answers::tables(const std::vector<table_source>& all) {
    for (const table_source& each : all)
        check_name(each.name);
    put(row_protocol::answer::tables);
    put(static_cast<std::uint32_t>(all.size()));
    for (const table_source& each : all)
        put_text(cut_name(each.name, longest_name));
}

void answers::opened(const table_reader& reader) {
    const table_reader::place_words around = reader.words();
    put(row_protocol::answer::opened);
    put_text(around.before);
    put_text(around.after);
}

void answers::names(const std::vector<std::string>& all, std::size_t first) {
    for (std::size_t i = first; i < all.size(); ++i)
        check_name(all[i]);
    put(row_protocol::answer::names);
    put(static_cast<std::uint32_t>(all.size() - first));
    for (std::size_t i = first; i < all.size(); ++i)
        put_text(cut_name(all[i], longest_name));
}

void answers::row(std::uint64_t number, const cells& row) {
    const std::size_t before = waiting_.size();
    put(row_protocol::answer::row);
    put(number);
    put(static_cast<std::uint32_t>(row.size()));
    size_ += waiting_.size() - before;
    for (const cell& each : row) {
        put(each.kind);
        put_text(each.text);
        size_ += each.text.size();
    }
    if (waiting_.size() >= row_protocol::batch) flush();
}

void answers::failure(row_protocol::why what, std::string_view words) {
    put(row_protocol::answer::failure);
    put(what);
    put_text(cut_name(words, row_protocol::longest_words));
    flush();
}

void answers::flush() {
    write_all(waiting_);
    waiting_.clear();
}

void answers::put_text(std::string_view text) {
    put(static_cast<std::uint32_t>(text.size()));
    if (text.size() < row_protocol::batch / 4) {
        waiting_.append(text);
        return;
    }
    flush();
    write_all(text);
}

void answers::write_all(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) ::_exit(1);
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
}

}  // namespace bitdotio
