// Reads a request for an import: its fields, and its file, which goes to disk as it comes.
#pragma once

#include <bitdotio/jobs.hpp>

#include "server/api/multipart.hpp"
#include "server/formats/file_output.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace bitdotio {

/// The fields of a form of either kind.
///
/// Thread safety: one thread at a time. Its functions block.
class import_form {
public:
    /// Parameters: `file` is made if the form has one, of at most `largest` bytes.
    /// Errors: errc::bad_input if the Content-Type is not that of a form.
    import_form(std::string_view content_type, std::filesystem::path file, std::uint64_t largest);
    ~import_form();

    /// Errors: errc::bad_input; errc::system_failed if the file cannot be written; form_too_large.
    void feed(std::string_view piece);
    void finish();

    /// The options of the form.
    ///
    /// Errors: api::malformed_body naming the field.
    import_options options() const;
    /// The address to fetch the file from; empty if it was sent.
    const std::string& url() const noexcept { return url_; }
    /// The name of the file that was sent.
    std::string file_name() const { return file_name_.value_or(""); }

private:
    class parts;
    friend class parts;

    void add(const std::string& field, std::string value);
    const std::string* find(const char* field) const;

    std::filesystem::path file_;
    std::uint64_t largest_;
    std::unique_ptr<multipart> parts_;
    std::string urlencoded_;
    std::map<std::string, std::string> fields_;
    std::optional<std::string> file_name_;
    std::optional<file_output> out_;
    std::string url_;
};

/// Thrown for a file beyond the limit.
class form_too_large : public error {
public:
    explicit form_too_large(std::uint64_t largest)
        : error(errc::bad_input, "the file is longer than " + std::to_string(largest) + " bytes") {}
};

}  // namespace bitdotio
