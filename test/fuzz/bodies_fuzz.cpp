// Bodies of the API: JSON both ways, forms in pieces, what is kept of jobs, profiles.
//
// An input is a letter for the body's kind and the body.
#include "fuzz.hpp"
#include "scratch.hpp"

#include "server/api/import_form.hpp"
#include "server/api/multipart.hpp"
#include "server/formats/utf8.hpp"
#include "server/jobs/job_record.hpp"
#include "service/api_codec.hpp"
#include "service/import_request.hpp"
#include "service/job_codec.hpp"
#include "service/json_text.hpp"
#include "service/profile.hpp"
#include "service/query_codec.hpp"

#include <boost/json.hpp>

#include <cmath>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

using namespace bitdotio;
using fuzz::input;
using fuzz::reads;
using fuzz::require;

namespace {

// What was read says the same after it was written.
template <class T, T (*decode)(std::string_view)>
void model(input in) {
    reads({errc::bad_input}, [&] {
        const T value = decode(in.rest());
        require(decode(api::encode(value)) == value, "a body is what it was");
    });
}

// The same for those without a comparison: their bodies are equal.
template <class T, T (*decode)(std::string_view)>
void request(input in) {
    reads({errc::bad_input}, [&] {
        const std::string body = api::encode(decode(in.rest()));
        require(api::encode(decode(body)) == body, "a body is what it was");
    });
}

void error_body(input in) {
    api::decode_error(in.rest());
}

// Boost.JSON rounds some doubles once more when it reads them again, and takes too large a number
// for infinity, which is written as a word.
bool same(const query_value& left, const query_value& right) {
    const double* number = std::get_if<double>(&left);
    return left == right ||
           (number && std::isfinite(*number) == !std::holds_alternative<std::string>(right));
}

void query_answer(input in) {
    const bool objects = in.letter(2) != 0;
    reads({errc::bad_input}, [&] {
        const query_result value = api::decode_query_answer(in.rest());
        bool comparable = true;
        for (const auto& column : value.columns)
            comparable = comparable && column.type != "json" && column.type != "jsonb" &&
                         column.type != "real" && column.type != "double precision";
        for (const auto& row : value.rows)
            comparable = comparable && row.size() == value.columns.size();
        if (!comparable) return;
        const query_result again = api::decode_query_answer(
            api::encode_query_answer(value, objects ? data_format::objects : data_format::rows));
        require(again.columns == value.columns, "an answer's columns are what they were");
        require(again.rows.size() == value.rows.size(), "an answer's rows are as many");
        for (std::size_t i = 0; i < value.rows.size(); ++i) {
            require(std::equal(value.rows[i].begin(), value.rows[i].end(), again.rows[i].begin(),
                               again.rows[i].end(), same),
                    "an answer's values are what they were");
        }
    });
}

void json_text(input in) {
    reads({errc::bad_input}, [&] {
        const std::string pretty = api::indented(in.rest());
        require(api::parse(pretty) == api::parse(in.rest()), "indentation changes nothing");
        if (const auto value = api::parse(in.rest()); value.is_object()) {
            const std::string_view found = api::text_of(in.rest(), "data");
            if (!found.empty()) {
                require(api::parse(found) == value.as_object().at("data"),
                        "a field's text is its value");
            }
        }
    });
}

void record(input in) {
    reads({errc::bad_input}, [&] {
        const std::string kept = job_record::from_json(in.rest()).to_json();
        require(job_record::from_json(kept).to_json() == kept, "a job is kept as it was");
    });
}

void profile_file(input in) {
    static const auto file = [] {
        const auto path = fuzz::scratch::one().write("profile", "");
        std::filesystem::permissions(
            path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
        return path;
    }();
    fuzz::scratch::one().write("profile", in.rest());
    reads({errc::bad_input}, [&] { require(read_profile(file).has_value(), "a file is there"); });
}

// Everything a form tells, as text.
class parts final : public multipart {
public:
    using multipart::multipart;
    std::string told;

private:
    void begin_part(const std::string& name, const std::optional<std::string>& file) override {
        told += "\n[" + name + "|" + file.value_or("-") + "]";
    }
    void part_data(std::string_view piece) override { told += piece; }
};

std::string parts_of(std::string_view type, std::string_view body, std::size_t piece) {
    std::string told = "refused";
    reads({errc::bad_input}, [&] {
        parts form(type);
        while (!body.empty()) {
            form.feed(body.substr(0, piece));
            body.remove_prefix(std::min(piece, body.size()));
        }
        form.finish();
        told = form.told;
    });
    return told;
}

void multipart_form(input in) {
    const std::string_view type = in.until('\n');
    const std::string whole = parts_of(type, in.rest(), in.rest().size() + 1);
    require(parts_of(type, in.rest(), 1) == whole, "a form is the same whatever the pieces");
    require(parts_of(type, in.rest(), 7) == whole, "a form is the same whatever the pieces");
}

constexpr std::uint64_t largest = 1'000;

void import_of_stranger(input in) {
    const std::string_view type = in.until('\n');
    reads({errc::bad_input}, [&] {
        import_form form(type, fuzz::scratch::one().path("upload"), largest);
        form.feed(in.rest());
        form.finish();
        const import_options options = form.options();
        require(!options.table_name.empty() && is_text(options.table_name),
                "a table has a name of UTF-8");
        job_record kept;
        kept.import = options;
        kept.file_name = form.file_name();
        kept.file_url = form.url();
        const job_record again = job_record::from_json(kept.to_json());
        require(again.file_name == kept.file_name && again.file_url == kept.file_url &&
                    again.import.table_name == options.table_name &&
                    again.import.schema_name == options.schema_name,
                "a form's job is the same after a restart");
    });
}

// What our client sends is what our server reads.
void import_of_client(input in) {
    import_options options{std::string(in.until('\n'))};
    options.schema_name = in.until('\n');
    options.header = static_cast<header_row>(in.letter(3));
    const bool sent = in.letter(2) != 0;
    const std::string_view content = in.rest();
    const auto file = fuzz::scratch::one().path("upload");
    reads({errc::bad_input}, [&] {
        const auto check = [&](import_form& form) {
            form.finish();
            const import_options got = form.options();
            require(got.table_name == options.table_name, "the table is what was sent");
            require(options.schema_name.empty() || got.schema_name == options.schema_name,
                    "the schema is what was sent");
            require(got.header == options.header, "the header is what was sent");
        };
        if (sent) {
            const auto request =
                api::encode_import(options, "a.csv", std::hash<std::string_view>()(content));
            import_form form(request.content_type, file, largest);
            form.feed(request.before);
            form.feed(content);
            form.feed(request.after);
            check(form);
            require(form.file_name() == "a.csv", "the file's name is what was sent");
            std::ifstream read(file, std::ios::binary);
            const std::string got{std::istreambuf_iterator<char>(read), {}};
            require(got == content, "the file is what was sent");
        } else {
            import_form form("application/x-www-form-urlencoded", file, largest);
            form.feed(api::encode_import(options, content));
            check(form);
            require(form.url() == content, "the address is what was sent");
        }
    });
}

constexpr void (*bodies[])(input) = {
    model<database, api::decode_database>,
    model<service_account, api::decode_service_account>,
    model<std::vector<database>, api::decode_databases>,
    model<std::vector<service_account>, api::decode_service_accounts>,
    model<import_job, api::decode_import_job>,
    model<export_job, api::decode_export_job>,
    request<issued_key, api::decode_issued_key>,
    request<api::create_request, api::decode_create_request>,
    request<database_changes, api::decode_database_changes>,
    request<api::query_request, api::decode_query_request>,
    request<export_options, api::decode_export_options>,
    error_body,
    query_answer,
    json_text,
    record,
    profile_file,
    multipart_form,
    import_of_stranger,
    import_of_client,
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    input in(data, size);
    bodies[in.letter(std::size(bodies))](in);
    return 0;
}
