// How bit ends: the one table of its exit codes.
#pragma once

#include <bitdotio/error.hpp>

#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace bitdotio::cli {

enum class exit_code {
    done = 0,
    wrong_usage = 2,
    failed = 3,
    interrupted = 130,
    reader_gone = 141,
};

struct exit_meaning {
    exit_code code;
    std::string_view when;
};

inline constexpr exit_meaning exit_codes[] = {
    {exit_code::done, "done"},
    {exit_code::wrong_usage,
     "wrong usage: an unknown command or option, a value of the wrong form, no key, a file that "
     "cannot be read or made"},
    {exit_code::failed, "the call failed: refused by the service, not reachable, not confirmed"},
    {exit_code::interrupted, "interrupted by Ctrl-C; what ran at the server was stopped"},
    {exit_code::reader_gone, "whoever read standard output has gone"},
};

/// Thrown where Ctrl-C has ended the work; `what()` says what became of it.
class interruption : public error {
public:
    explicit interruption(std::string text) : error(errc::cancelled, std::move(text)) {}
};

/// Thrown where standard output has no reader any more; nothing is said then.
class reader_gone : public std::exception {
public:
    explicit reader_gone(bool of_pager) noexcept : of_pager_(of_pager) {}
    const char* what() const noexcept override { return "the reader of the output has gone"; }
    /// Whether it was the pager, whose end is the user's wish.
    bool of_pager() const noexcept { return of_pager_; }

private:
    bool of_pager_;
};

}  // namespace bitdotio::cli
