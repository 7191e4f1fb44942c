// Says why a job failed: a word for programs, a message for people.
#pragma once

#include <bitdotio/error.hpp>

#include <string>
#include <utility>

namespace bitdotio {

/// An error that carries its own kind.
class job_failure : public error {
public:
    job_failure(std::string type, const std::string& message)
        : error(errc::bad_input, message), type_(std::move(type)) {}

    const std::string& type() const noexcept { return type_; }

private:
    std::string type_;
};

/// The kind of any failure of a job: "invalid_file", "database_error", "interrupted"…; see
/// docs/imports-and-exports.md.
std::string kind_of(const error& failure);
/// What went wrong, with PostgreSQL's detail, hint and context where it has some.
std::string words_of(const error& failure);

}  // namespace bitdotio
