// The words of a command line: which command, which options, which values.
//
// Not CLI11, the parser in Debian: it reads "-qf" as "-q" with the value "f", its messages repeat
// values, which may be keys, and help, completions and the manual would need a second description
// of every option beside its own.
#pragma once

#include <chrono>
#include <cstddef>
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
    /// What its value can be, for completions: "json|csv", "file" for any file, "profile" for the
    /// name of one, or a file.
    std::string_view choices = "";
    bool repeated = false;  ///< all of its values count, not only the last
};

class arguments;

/// One command.
struct command {
    std::string_view name;   ///< "query", "db list"; one may begin with another's
    std::string_view alias;  ///< another name, empty for none
    std::string_view help;
    std::vector<option> options;
    /// How help names the words that must follow it: "DB". Those that may be left out are in
    /// brackets: "[DB]"; the last may take all that follow, dashes included after "--":
    /// "[ARGS...]".
    std::vector<std::string_view> words = {};
    /// Runs it; null where a test only parses.
    void (*run)(const arguments&) = nullptr;
    bool hidden = false;  ///< not in help, for what builds and shells call
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
    /// ("--query=SQL", "-dNAME"). What follows "--" is never an option. "-h" and "--help" are
    /// understood everywhere; program options also after the command.
    ///
    /// An option that is not given takes its value from the environment: `--storage_limit_bytes` of
    /// "bit db create" from BITIO_DB_CREATE_STORAGE_LIMIT_BYTES, one of the program from BITIO_KEY.
    /// Empty variables count as none.
    ///
    /// Parameters: `words` without the program's own name; `environment` gives a variable's value,
    ///     null for none.
    /// Errors: errc::bad_input naming the wrong word and what would be right; never the value of an
    ///     option.
    static arguments parse(const program& program, const std::vector<std::string>& words,
                           const char* (*environment)(const char* name) = nullptr);

    /// The command's name; empty if there is none, as with "--version" or "--help" alone.
    const std::string& command() const noexcept { return command_; }
    /// Whether help was asked for, about `command()` or a group of commands such as "db".
    bool help() const noexcept { return help_; }

    /// The words after the command, in their order.
    const std::vector<std::string>& words() const noexcept { return words_; }

    bool has(std::string_view long_name) const;
    /// The last value given.
    std::optional<std::string> get(std::string_view long_name) const;
    /// All values, in their order.
    std::vector<std::string> get_all(std::string_view long_name) const;
    /// Whether the value is the environment's, not a word's.
    bool is_from_environment(std::string_view long_name) const;

    /// How a message names the option: by the variable, if its value comes from there.
    std::string shown_name(std::string_view long_name) const;

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
    struct given {
        std::vector<std::string> values;
        std::string variable;  // of the environment that gave the value; empty for a word
    };

    std::vector<std::string> words_;
    std::map<std::string, given, std::less<>> values_;
};

/// The command of this name or alias; null for none.
const command* find_command(const program& program, std::string_view name);
/// Whether some command's name begins with this word, such as "db" of "db list".
bool is_group(const program& program, std::string_view word);
/// Whether a variable may give the option: not "--version", whose variable people set to a version.
bool comes_from_environment(const option& one);
/// The variable that gives an option's value; `command` is null for an option of the program.
std::string variable_of(const program& program, const command* command, const option& one);

/// The name nearest to `word`, if it is a slip of one or two letters away; empty for none.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& names);

/// What "--help" prints: of the program if `command` is empty, of a command, or of a group.
///
/// Parameters: `columns` is the width of the screen, 0 for no bound.
std::string help_text(const program& program, std::string_view command, std::size_t columns = 0);

}  // namespace bitdotio::cli
