// Says why a job failed: a word for programs, a message for people.
#pragma once

#include <bitdotio/error.hpp>

#include <string>
#include <utility>

namespace bitdotio {

/// An error that carries its own kind.
class job_failure : public error {
public:
    /// Parameters: `details` are for the server's log alone; empty for none.
    job_failure(std::string type, const std::string& message, std::string details = {})
        : error(errc::bad_input, message), type_(std::move(type)), details_(std::move(details)) {}

    const std::string& type() const noexcept { return type_; }
    const std::string& details() const noexcept { return details_; }

private:
    std::string type_;
    std::string details_;
};

/// The kind of any failure of a job: "invalid_file", "database_error", "interrupted"…; see
/// docs/imports-and-exports.md.
std::string kind_of(const error& failure);
/// What went wrong, with PostgreSQL's detail, hint and context where it has some.
std::string words_of(const error& failure);

}  // namespace bitdotio
