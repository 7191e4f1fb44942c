// The words of a command line: which command, which options, which values.
//
// CLI11, the parser in Debian, reads "-qf" as "-q" with the value "f"; the service's own command
// has "-qf" as one option, so this is our own parser.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitdotio::cli {

/// One option of a command.
struct option {
    std::string_view short_name;  ///< "-q", "-qf"; empty for none
    std::string_view long_name;   ///< "--query"; its key in `arguments`
    std::string_view value;       ///< how help names its value; empty if it takes none
    std::string_view help;
    bool required = false;
};

/// One command.
struct command {
    std::string_view name;   ///< "query", "db list"; one may begin with another's
    std::string_view alias;  ///< another name, empty for none
    std::string_view help;
    std::vector<option> options;
    /// How help names the words that must follow it: "DB".
    std::vector<std::string_view> words = {};
};

/// A program: options before the command, and its commands.
struct program {
    std::string_view name;
    std::string_view help;
    std::vector<option> options;
    std::vector<command> commands;
};

/// What a command line asks for.
class arguments {
public:
    /// Takes an option by its exact name first ("-qf"), then with its value attached
    /// ("--query=SQL", "-dNAME"). "-h" and "--help" are understood everywhere; program options
    /// also after the command.
    ///
    /// Parameters: `words` without the program's own name.
    /// Errors: errc::bad_input naming the wrong word and what would be right; never the value of an
    ///     option.
    static arguments parse(const program& program, const std::vector<std::string>& words);

    /// The command's name; empty if there is none, as with "--version" or "--help" alone.
    const std::string& command() const noexcept { return command_; }
    /// Whether help was asked for, about `command()` or a group of commands such as "db".
    bool help() const noexcept { return help_; }

    /// The words after the command, in their order.
    const std::vector<std::string>& words() const noexcept { return words_; }

    bool has(std::string_view long_name) const;
    /// The last value given.
    std::optional<std::string> get(std::string_view long_name) const;

    /// The value read as a type; nothing if the option was not given.
    ///
    /// Errors: errc::bad_input naming the option and what its value must be.
    std::optional<bool> get_bool(std::string_view long_name) const;
    std::optional<std::int64_t> get_size(std::string_view long_name) const;
    std::optional<std::uint16_t> get_port(std::string_view long_name) const;
    std::optional<std::chrono::milliseconds> get_duration(std::string_view long_name) const;

private:
    std::string command_;
    bool help_ = false;
    std::vector<std::string> words_;
    std::map<std::string, std::string, std::less<>> values_;
};

/// What "--help" prints: of the program if `command` is empty, of a command, or of a group.
std::string help_text(const program& program, std::string_view command);

}  // namespace bitdotio::cli
