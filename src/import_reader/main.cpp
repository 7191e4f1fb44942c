// The program that reads a stranger's file in a jail, and hands its rows to the server.
//
// Its descriptors are the file (0), and the server (1); see row_protocol.
#include "import_reader/answers.hpp"
#include "import_reader/enter_jail.hpp"
#include "server/formats/table_reader.hpp"
#include "server/jail/row_protocol.hpp"

#include <bitdotio/error.hpp>

#include <unistd.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

using namespace bitdotio;

namespace {

bool read_question(row_protocol::question& into) {
    std::size_t size = 0;
    while (size < sizeof into) {
        const ssize_t got = ::read(1, reinterpret_cast<char*>(&into) + size, sizeof into - size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;  // the server has what it wants, or is gone
        size += static_cast<std::size_t>(got);
    }
    return true;
}

void check_size(const table_reader& reader, const cells& row) {
    std::size_t size = 0;
    for (const cell& each : row)
        size += each.text.size();
    if (size > longest_row) throw error(errc::bad_input, reader.place() + " has more than 64 MiB");
    if (row.size() > most_columns) {
        throw error(errc::bad_input, reader.place() + " has more than 1,600 columns");
    }
}

/// Reads the tables one by one, as the server asks.
void serve(answers& out, input_handle file, header_row header, const std::string& name) {
    const std::vector<table_source> tables = open_tables(file, name, header);
    if (tables.size() > most_tables) {
        throw error(errc::bad_input, "the file has more than 1,000 tables");
    }
    out.tables(tables);
    out.flush();
    std::unique_ptr<table_reader> reader;
    std::size_t named = 0;
    cells row;
    const auto tell_names = [&] {
        if (reader->names().size() == named) return;
        if (reader->names().size() > most_columns) {
            throw error(errc::bad_input, reader->place() + " has more than 1,600 columns");
        }
        out.names(reader->names(), named);
        named = reader->names().size();
    };
    row_protocol::question asked;
    while (read_question(asked)) {
        if (asked.what == row_protocol::ask::open) {
            reader.reset();
            reader = tables.at(asked.table).open();
            named = 0;
            out.opened(*reader);
            if (reader->names().empty()) out.names({}, 0);
            tell_names();
        } else {
            out.take_size();
            std::size_t size = 0;
            while (reader && size < row_protocol::batch) {
                if (!reader->next(row)) {
                    reader.reset();
                    break;
                }
                check_size(*reader, row);
                tell_names();
                out.row(reader->number(), row);
                size += out.take_size();
            }
            out.plain(reader ? row_protocol::answer::pause : row_protocol::answer::end);
        }
        out.flush();
    }
}

}  // namespace

int main(int count, char** arguments) {
    answers out(1);
    ::close_range(3, ~0U, 0);  // 3 is this program; there should be no others
    if (count != 4) {
        std::fputs("This program is part of bitdotio's server, which starts it.\n", stderr);
        return 2;
    }
    const auto header = static_cast<header_row>(std::atoi(arguments[1]));
    const std::string name = arguments[2];
    try {
        const auto file = std::make_shared<const input_file>(0);
        const char* const refused = enter_jail(std::atoi(arguments[3]), row_protocol::most_memory,
                                               row_protocol::seconds_for(file->size()));
        if (refused) {
            out.failure(row_protocol::why::system, refused);
            return 1;
        }
        serve(out, file, header, name);
        ::_exit(0);
    } catch (const std::bad_alloc&) {
        out.failure(row_protocol::why::memory, "");
    } catch (const error& failure) {
        const bool ours = failure.code() == errc::bad_input;
        out.failure(ours ? row_protocol::why::bad_file : row_protocol::why::system, failure.what());
    } catch (const std::exception&) {  // of a library, whose words help nobody
        out.failure(row_protocol::why::bad_file, "the file cannot be read");
    }
    ::_exit(1);
}
