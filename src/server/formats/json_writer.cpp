// Writes JSON: a list of objects, one per line.
#include "server/formats/file_output.hpp"
#include "server/formats/row_writer.hpp"

#include <utility>

namespace bitdotio {

namespace {

void append_string(std::string& out, std::string_view text) {
    constexpr char digits[] = "0123456789abcdef";
    out.push_back('"');
    std::size_t begin = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        out.append(text, begin, i - begin);
        begin = i + 1;
        out.push_back('\\');
        switch (c) {
            case '"':
            case '\\': out.push_back(static_cast<char>(c)); break;
            case '\n': out.push_back('n'); break;
            case '\r': out.push_back('r'); break;
            case '\t': out.push_back('t'); break;
            default: out += {'u', '0', '0', digits[c >> 4], digits[c & 0xf]};
        }
    }
    out.append(text, begin, text.size() - begin);
    out.push_back('"');
}

class json_writer final : public row_writer {
public:
    json_writer(const std::filesystem::path& file, std::vector<export_column> columns)
        : file_(file), columns_(std::move(columns)) {
        for (const export_column& each : columns_) {
            std::string name;
            append_string(name, each.name);
            names_.push_back(name + ":");
        }
    }

    void write(const export_row& row) override {
        line_ = begun_ ? ",\n{" : "[\n{";
        begun_ = true;
        for (std::size_t i = 0; i < row.size(); ++i) {
            if (i > 0) line_.push_back(',');
            line_ += names_[i];
            if (row[i]) {
                append_value(*row[i], columns_[i].type);
            } else {
                line_ += "null";
            }
        }
        line_.push_back('}');
        file_.write(line_);
    }

    void finish() override {
        file_.write(begun_ ? "\n]\n" : "[]\n");
        file_.finish();
    }

private:
    // numeric stays a string: most readers would round a number.
    void append_value(std::string_view text, oid type) {
        switch (type) {
            case oids::boolean: line_ += text == "t" ? "true" : "false"; break;
            case oids::int2:
            case oids::int4:
            case oids::int8:
            case oids::oid_:
            case oids::json:
            case oids::jsonb: line_ += text; break;
            case oids::float4:
            case oids::float8:
                if (text.find_first_of("Nn") == std::string_view::npos) {
                    line_ += text;
                } else {  // NaN, Infinity
                    append_string(line_, text);
                }
                break;
            default: append_string(line_, text);
        }
    }

    file_output file_;
    const std::vector<export_column> columns_;
    std::vector<std::string> names_;
    std::string line_;
    bool begun_ = false;
};

}  // namespace

std::unique_ptr<row_writer> make_json_writer(const std::filesystem::path& file,
                                             std::vector<export_column> columns) {
    return std::make_unique<json_writer>(file, std::move(columns));
}

}  // namespace bitdotio
