// Converts rows of values to JSON and back.
#include "service/query_codec.hpp"
#include "base/ascii.hpp"
#include "service/answer_reader.hpp"
#include "service/json_fields.hpp"
#include "service/json_text.hpp"

#include <boost/json.hpp>

#include <cmath>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace bitdotio::api {

namespace json = boost::json;

namespace {

std::string string_text(std::string_view text) {
    return json::serialize(json::string_view(text.data(), text.size()));
}

// Writes text as a JSON string, which may become six times as long, in pieces.
void write_string(std::string_view text, const json_sink& to) {
    json::serializer writer;
    writer.reset(json::string_view(text.data(), text.size()));
    char room[16 * 1024];
    while (!writer.done()) {
        const json::string_view piece = writer.read(room);
        to(std::string_view(piece.data(), piece.size()));
    }
}

bool is_floating(std::string_view type) {
    return type == "real" || type == "double precision";
}

// Whether PostgreSQL's text of a floating-point number is one in JSON too: all but NaN and the
// infinities are.
bool is_number(std::string_view text) {
    const std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
    return !digits.empty() && ascii::is_digit(digits.front()) && ascii::is_digit(digits.back());
}

// Writes a value as JSON text. A value that is JSON already, or PostgreSQL's text of a
// floating-point number, is copied as it is: read and written again it would have other digits.
void write_value(const query_value& value, const std::string& type, const json_sink& to) {
    struct visitor {
        const std::string& type;
        const json_sink& to;
        void operator()(std::monostate) const { to("null"); }
        void operator()(bool v) const { to(v ? "true" : "false"); }
        void operator()(std::int64_t v) const { to(std::to_string(v)); }
        void operator()(double v) const {
            if (std::isfinite(v)) return to(json::serialize(json::value(v)));
            to(std::isnan(v) ? R"("NaN")" : v > 0 ? R"("Infinity")" : R"("-Infinity")");
        }
        void operator()(const std::string& v) const {
            if (type == "json" || type == "jsonb") return to(v);
            if (is_floating(type) && is_number(v)) return to(v);
            write_string(v, to);
        }
    };
    std::visit(visitor{type, to}, value);
}

// The names of columns in JSON, where no two may be the same: a further column of a name is called
// `a_1`, `a_2`, unless another column has that name of its own.
std::vector<std::string> distinct_names(const std::vector<query_result::column>& columns) {
    std::map<std::string, std::size_t> further;  // the number tried last
    for (const query_result::column& column : columns) {
        further.emplace(column.name, 0);
    }
    std::set<std::string> taken;
    std::vector<std::string> names;
    for (const query_result::column& column : columns) {
        std::string name = column.name;
        if (!taken.insert(name).second) {
            std::size_t& number = further[column.name];
            do {
                name = column.name + "_" + std::to_string(++number);
            } while (further.contains(name) || !taken.insert(name).second);
        }
        names.push_back(std::move(name));
    }
    return names;
}

query_value decode_value(const json::value& value, std::string_view type) {
    switch (value.kind()) {
        case json::kind::null: return std::monostate();
        case json::kind::bool_: return value.as_bool();
        case json::kind::int64:  // 7.0 is 7 in the text of PostgreSQL
            if (is_floating(type)) return static_cast<double>(value.as_int64());
            return value.as_int64();
        case json::kind::uint64: return static_cast<double>(value.as_uint64());
        case json::kind::double_: return value.as_double();
        case json::kind::string: return std::string(value.as_string());
        case json::kind::array:
        case json::kind::object: return json::serialize(value);
    }
    return std::monostate();
}

std::vector<query_value> decode_row(const json::value& row,
                                    const std::vector<query_result::column>& columns) {
    std::vector<query_value> values;
    if (row.is_array()) {
        const json::array& list = row.as_array();
        const bool typed = list.size() == columns.size();
        for (std::size_t i = 0; i < list.size(); ++i) {
            const std::string_view type = typed ? std::string_view(columns[i].type) : "";
            values.push_back(decode_value(list[i], type));
        }
    } else if (row.is_object()) {
        for (const query_result::column& column : columns) {
            const json::value* value = row.as_object().if_contains(column.name);
            values.push_back(value ? decode_value(*value, column.type) : query_value());
        }
    } else {
        throw wrong("data", "a list of lists or of objects");
    }
    return values;
}

}  // namespace

row_encoder::row_encoder(std::vector<query_result::column> columns, data_format format)
    : columns_(std::move(columns)), named_(format == data_format::objects) {
    for (const std::string& name : distinct_names(columns_)) {
        const std::string comma = keys_.empty() ? "" : ",";
        keys_.push_back(comma + (named_ ? string_text(name) + ":" : ""));
    }
}

void row_encoder::add(const std::function<query_value(std::size_t)>& value_of,
                      const json_sink& to) {
    if (!std::exchange(first_, false)) to(",");
    to(named_ ? "{" : "[");
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        to(keys_[i]);
        write_value(value_of(i), columns_[i].type, to);
    }
    to(named_ ? "}" : "]");
}

std::string encode_query_head(const std::string& query_string,
                              const std::vector<query_result::column>& columns) {
    json::object metadata;
    const std::vector<std::string> names = distinct_names(columns);
    for (std::size_t i = 0; i < columns.size(); ++i) {
        metadata[names[i]] = columns[i].type;
    }
    return R"({"query_string":)" + string_text(query_string) + R"(,"metadata":)" +
           json::serialize(metadata) + R"(,"data":[)";
}

std::string encode_query_answer(const query_result& value, data_format format) {
    std::string text = encode_query_head(value.query_string, value.columns);
    const json_sink to = [&](std::string_view piece) { text += piece; };
    row_encoder rows(value.columns, format);
    for (const std::vector<query_value>& row : value.rows) {
        rows.add([&](std::size_t i) { return row[i]; }, to);
    }
    return text += query_tail;
}

query_result decode_query_answer(std::string_view body) {
    if (std::optional<query_result> read = read_query_answer(body)) return std::move(*read);
    const json::object object = parse_object(body);
    query_result value;
    if (find(object, "query_string")) {
        value.query_string = required_string(object, "query_string");
    }
    if (const json::value* metadata = find(object, "metadata")) {
        if (!metadata->is_object()) {
            throw wrong("metadata", "an object");
        }
        for (const auto& member : metadata->as_object()) {
            if (!member.value().is_string()) {
                throw wrong("metadata", "an object of strings");
            }
            value.columns.push_back(
                {std::string(member.key()), std::string(member.value().as_string())});
        }
    }
    const json::value* data = find(object, "data");
    if (data && !data->is_array()) {
        throw wrong("data", "a list");
    }
    value.data_json = "[]";
    if (data) {
        const std::string_view text = text_of(body, "data");
        value.data_json = text.empty() ? json::serialize(*data) : std::string(text);
        for (const json::value& row : data->as_array()) {
            value.rows.push_back(decode_row(row, value.columns));
        }
    }
    return value;
}

}  // namespace bitdotio::api
