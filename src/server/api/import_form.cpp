// Collects the fields of a form and spools its file.
#include "server/api/import_form.hpp"

#include <bitdotio/quoting.hpp>

#include "base/ascii.hpp"
#include "server/formats/utf8.hpp"
#include "service/job_codec.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio {

namespace {

// The limit for all fields together, without the file.
constexpr std::size_t longest_fields = 64 * 1024;
constexpr std::string_view urlencoded = "application/x-www-form-urlencoded";

std::string lower_type(std::string_view content_type) {
    const std::string type = ascii::to_lower(content_type.substr(0, content_type.find(';')));
    return type.substr(0, type.find_last_not_of(" \t") + 1);
}

void check_name(const char* field, const std::string& name) {
    if (!is_text(name)) {
        throw error(errc::bad_input, std::string("field \"") + field + "\" is not UTF-8");
    }
    quote_identifier(name);
}

}  // namespace

class import_form::parts final : public multipart {
public:
    parts(std::string_view content_type, import_form& form)
        : multipart(content_type), form_(form) {}

    void end_part() {
        if (!in_file_ && !name_.empty()) form_.add(name_, std::exchange(value_, {}));
        name_.clear();
        in_file_ = false;
    }

private:
    void begin_part(const std::string& name, const std::optional<std::string>& file_name) override {
        end_part();
        name_ = name;
        in_file_ = name == "file";
        if (!in_file_) {
            count(name.size());  // a form of nothing but names would fill the memory as well
            return;
        }
        if (form_.out_) throw api::malformed_body("file", "the form has two files");
        form_.file_name_ = file_name.value_or("");
        form_.out_.emplace(form_.file_);
    }

    void part_data(std::string_view piece) override {
        if (in_file_) {
            if (form_.out_->size() + piece.size() > form_.largest_) {
                throw form_too_large(form_.largest_);
            }
            form_.out_->write(piece);
            return;
        }
        count(piece.size());
        value_ += piece;
    }

    void count(std::size_t size) {
        fields_size_ += size;
        if (fields_size_ > longest_fields) {
            throw error(errc::bad_input, "the fields of the form are too long");
        }
    }

    import_form& form_;
    std::string name_;
    std::string value_;
    std::size_t fields_size_ = 0;
    bool in_file_ = false;
};

import_form::import_form(std::string_view content_type, std::filesystem::path file,
                         std::uint64_t largest)
    : file_(std::move(file)), largest_(largest) {
    const std::string type = lower_type(content_type);
    if (type == "multipart/form-data") {
        parts_ = std::make_unique<parts>(content_type, *this);
    } else if (type != urlencoded) {
        throw error(errc::bad_input,
                    "an import is sent as multipart/form-data or as " + std::string(urlencoded));
    }
}

import_form::~import_form() = default;

void import_form::feed(std::string_view piece) {
    if (parts_) {
        parts_->feed(piece);
        return;
    }
    urlencoded_ += piece;
    if (urlencoded_.size() > longest_fields) {
        throw error(errc::bad_input, "the fields of the form are too long");
    }
}

void import_form::finish() {
    if (parts_) {
        parts_->finish();
        static_cast<parts&>(*parts_).end_part();
    } else {
        read_urlencoded(urlencoded_, [this](const std::string& field, std::string value) {
            add(field, std::move(value));
        });
    }
    if (out_) out_->finish();
    if (const std::string* url = find("file_url")) url_ = *url;
    // Both are kept with the job, in JSON, which could not be read again after a restart.
    if (!is_text(url_)) throw api::malformed_body("file_url", "field \"file_url\" is not UTF-8");
    if (!is_text(file_name())) {
        throw api::malformed_body("file", "the name of the file is not UTF-8");
    }
    const bool sent = out_.has_value();
    if (sent && !url_.empty()) {
        throw api::malformed_body("file", "a form has either \"file\" or \"file_url\", not both");
    }
    if (!sent && url_.empty()) {
        throw api::malformed_body("file", "the field \"file\" or \"file_url\" is missing");
    }
}

void import_form::add(const std::string& field, std::string value) {
    fields_[field] = std::move(value);
}

const std::string* import_form::find(const char* field) const {
    const auto found = fields_.find(field);
    return found == fields_.end() || found->second.empty() ? nullptr : &found->second;
}

import_options import_form::options() const {
    import_options options;
    const std::string* table = find("table_name");
    if (!table) throw api::malformed_body("table_name", "the field \"table_name\" is missing");
    check_name("table_name", *table);
    options.table_name = *table;
    if (const std::string* schema = find("schema_name")) {
        check_name("schema_name", *schema);
        options.schema_name = *schema;
    }
    if (const std::string* header = find("infer_header")) {
        const auto named = api::header_named(*header);
        if (!named) {
            throw api::malformed_body(
                "infer_header", "field \"infer_header\" must be auto, first_row or no_header");
        }
        options.header = *named;
    }
    return options;
}

}  // namespace bitdotio
