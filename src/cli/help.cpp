// Prints the help of a program, of a group of commands, and of one command.
#include "cli/arguments.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio::cli {

namespace {

void append_entries(std::string& out,
                    const std::vector<std::pair<std::string, std::string>>& entries) {
    std::size_t width = 0;
    for (const auto& [left, right] : entries) {
        width = std::max(width, left.size());
    }
    for (const auto& [left, right] : entries) {
        out += "  " + left + std::string(width - left.size() + 2, ' ') + right + "\n";
    }
}

void append_options(std::string& out, std::vector<option> options) {
    options.push_back({"-h", "--help", "", "Show this and exit."});
    std::vector<std::pair<std::string, std::string>> entries;
    for (const option& one : options) {
        std::string left = one.short_name.empty() ? "" : std::string(one.short_name) + ", ";
        left += one.long_name;
        left += one.value.empty() ? "" : " " + std::string(one.value);
        entries.emplace_back(left, std::string(one.help) + (one.required ? " Required." : ""));
    }
    out += "\nOptions:\n";
    append_entries(out, entries);
}

// Appends the commands whose names begin with `group`.
void append_commands(std::string& out, const program& program, const std::string& group) {
    std::vector<std::pair<std::string, std::string>> entries;
    for (const command& one : program.commands) {
        if (one.hidden || !one.name.starts_with(group)) continue;
        std::string left(one.name);
        for (const std::string_view word : one.words) {
            left += " " + std::string(word);
        }
        entries.emplace_back(left, one.help);
    }
    append_entries(out, entries);
}

}  // namespace

std::string help_text(const program& program, std::string_view name) {
    const std::string start = "Usage: " + std::string(program.name);
    std::string out;
    if (const command* chosen = find_command(program, name)) {
        out = start + " " + std::string(chosen->name);
        for (const std::string_view word : chosen->words) {
            out += " " + std::string(word);
        }
        out += " [OPTIONS]\n\n" + std::string(chosen->help) + "\n";
        if (is_group(program, name)) {
            out += "\nCommands of its own:\n";
            append_commands(out, program, std::string(name) + " ");
        }
        append_options(out, chosen->options);
        return out;
    }
    const std::string group = name.empty() ? "" : std::string(name) + " ";
    out = start +
          (name.empty() ? " [OPTIONS] COMMAND\n\n" + std::string(program.help)
                        : " " + group + "COMMAND") +
          "\n\nCommands:\n";
    append_commands(out, program, group);
    append_options(out, program.options);
    return out;
}

}  // namespace bitdotio::cli
