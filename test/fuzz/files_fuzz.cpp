// Imported files: CSV, JSON, SQLite, XLS and damaged archives; and COPY's text on its way to an
// export.
//
// An input is a letter for the file's name, one for its header, and the file.
#include "fuzz.hpp"
#include "scratch.hpp"
#include "table_walk.hpp"

#include "server/formats/file_input.hpp"

#include <iterator>
#include <memory>
#include <string>

using namespace bitdotio;
using fuzz::input;
using fuzz::reads;
using fuzz::require;

namespace {

void table(const char* name, header_row header, std::string_view content) {
    const auto file = fuzz::scratch::one().write("import", content);
    reads({errc::bad_input},
          [&] { fuzz::walk_tables(open_tables(fuzz::input_of{file}, name, header)); });
}

// The rows of COPY as the server of a database sends them, exported as JSON and imported again.
class kept_rows final : public row_writer {
public:
    explicit kept_rows(row_writer& next) : next_(next) {}
    void write(const export_row& row) override {
        rows.emplace_back(row.begin(), row.end());
        next_.write(row);
    }
    void finish() override { next_.finish(); }

    std::vector<std::vector<std::optional<std::string>>> rows;

private:
    row_writer& next_;
};

void export_and_import(std::size_t columns, std::string_view copied) {
    std::vector<export_column> names;
    for (std::size_t i = 0; i < columns; ++i)
        names.push_back({"c" + std::to_string(i), oids::text});
    const auto file = fuzz::scratch::one().path("export");
    const auto writer = make_json_writer(file, names);
    kept_rows kept(*writer);
    std::string piece(copied);
    if (!piece.empty() && !piece.ends_with('\n')) piece += '\n';
    reads({errc::protocol_violated}, [&] {
        write_copy_rows(piece, columns, kept);
        kept.finish();
        for (const auto& row : kept.rows) {
            for (const auto& value : row) {
                if (value && !is_text(*value)) return;  // PostgreSQL has no such text
            }
        }
        const auto reader = open_json(fuzz::input_of{file}).at(0).open();
        cells row;
        for (const auto& wanted : kept.rows) {
            require(reader->next(row), "an export has each row");
            for (std::size_t i = 0; i < columns; ++i) {
                const bool null = i >= row.size() || row[i].kind == cell_kind::null;
                require(null ? !wanted[i] : wanted[i] == row[i].text,
                        "what is exported is imported again");
            }
        }
        require(!reader->next(row), "an export has no other rows");
    });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr const char* names[] = {"a.csv", "a.json", "a"};
    input in(data, size);
    const std::size_t name = in.letter(std::size(names) + 1);
    const std::size_t header = in.letter(3);
    if (name == std::size(names)) {
        export_and_import(1 + header, in.rest());
    } else {
        table(names[name], static_cast<header_row>(header), in.rest());
    }
    return 0;
}
