// Writes job records as JSON and reads them back.
#include "server/jobs/job_record.hpp"
#include "service/api_codec.hpp"
#include "service/job_codec.hpp"
#include "service/json_fields.hpp"

#include <bitdotio/error.hpp>

#include <boost/json.hpp>

namespace bitdotio {

namespace {

namespace json = boost::json;
using api::text;
using record_time = std::chrono::sys_time<std::chrono::microseconds>;

json::value to_number(const std::optional<record_time>& when) {
    return when ? json::value(when->time_since_epoch().count()) : json::value(nullptr);
}

std::optional<record_time> to_time(const json::value& value) {
    if (value.is_null()) return std::nullopt;
    return record_time(std::chrono::microseconds(value.to_number<std::int64_t>()));
}

}  // namespace

std::string job_record::to_json() const {
    json::object all;
    all["form"] = 1;
    all["id"] = id;
    all["kind"] = kind == job_kind::import_ ? "import" : "export";
    all["user"] = user;
    all["database_id"] = database_id;
    all["role"] = text(api::role_name(role));
    all["created_microseconds"] = to_number(date_created);
    all["finished_microseconds"] = to_number(date_finished);
    all["state"] = text(api::name_of(state));
    all["retries"] = retries;
    all["error_type"] = error_type;
    all["error_id"] = error_id;
    all["error_message"] = error_message;
    all["file_name"] = file_name;
    all["size"] = size;
    if (kind == job_kind::import_) {
        all["table"] = import.table_name;
        all["schema"] = import.schema_name;
        all["header"] = text(api::name_of(import.header));
        all["url"] = file_url;
    } else {
        all["table"] = export_.table_name;
        all["schema"] = export_.schema_name;
        all["query"] = export_.query;
        all["format"] = text(api::name_of(export_.format));
    }
    return json::serialize(all) + "\n";
}

job_record job_record::from_json(std::string_view written) {
    try {
        const json::value parsed = json::parse(written);
        const json::object& all = parsed.as_object();
        const auto get = [&](const char* member) {
            return std::string(std::string_view(all.at(member).as_string()));
        };
        job_record record;
        record.id = get("id");
        record.kind = get("kind") == "import" ? job_kind::import_ : job_kind::export_;
        record.user = get("user");
        record.database_id = get("database_id");
        record.role = api::role_named(get("role")).value_or(bitdotio::role::reader);
        record.date_created = to_time(all.at("created_microseconds"));
        record.date_finished = to_time(all.at("finished_microseconds"));
        record.state = api::state_named(get("state")).value_or(job_state::failed);
        record.retries = all.at("retries").to_number<std::int64_t>();
        record.error_type = get("error_type");
        record.error_id = get("error_id");
        record.error_message = get("error_message");
        record.file_name = get("file_name");
        record.size = all.at("size").to_number<std::uint64_t>();
        if (record.kind == job_kind::import_) {
            record.import.table_name = get("table");
            record.import.schema_name = get("schema");
            record.import.header = api::header_named(get("header")).value_or(header_row::automatic);
            record.file_url = get("url");
        } else {
            record.export_.table_name = get("table");
            record.export_.schema_name = get("schema");
            record.export_.query = get("query");
            record.export_.format = api::format_named(get("format")).value_or(export_format::csv);
        }
        return record;
    } catch (const std::exception& failure) {
        throw error(errc::bad_input, std::string("a job cannot be understood: ") + failure.what());
    }
}

}  // namespace bitdotio
