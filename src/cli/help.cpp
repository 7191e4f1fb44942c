// Prints the help of a program, of a group of commands, and of one command.
#include "cli/arguments.hpp"

#include <algorithm>
#include <utility>

namespace bitdotio::cli {

namespace {

// A narrower text is harder to read than one below what it is about.
constexpr std::size_t narrowest_text = 30;

// The text in lines of at most so many columns, those after the first indented by `indent`.
std::string wrapped(std::string_view text, std::size_t columns, std::size_t indent) {
    std::string out;
    while (text.size() > columns) {
        std::size_t space = text.rfind(' ', columns);
        if (space == std::string_view::npos) space = text.find(' ');  // after a long word
        if (space == std::string_view::npos) break;
        out += std::string(text.substr(0, space)) + "\n" + std::string(indent, ' ');
        text.remove_prefix(space + 1);
    }
    return out += text;
}

// What is said of each at the right, from one column on, or below it on a narrow screen; no bound
// where `columns` is 0.
void append_entries(std::string& out,
                    const std::vector<std::pair<std::string, std::string>>& entries,
                    std::size_t columns) {
    std::size_t width = 0;
    for (const auto& [left, right] : entries) {
        width = std::max(width, left.size());
    }
    const bool beside = columns == 0 || columns >= width + 4 + narrowest_text;
    const std::size_t indent = beside ? width + 4 : 6;
    for (const auto& [left, right] : entries) {
        out +=
            "  " + left +
            (beside ? std::string(width - left.size() + 2, ' ') : "\n" + std::string(indent, ' ')) +
            (columns > indent ? wrapped(right, columns - indent, indent) : right) + "\n";
    }
}

void append_options(std::string& out, std::vector<option> options, std::size_t columns) {
    options.push_back({"-h", "--help", "", "Show this and exit."});
    std::vector<std::pair<std::string, std::string>> entries;
    for (const option& one : options) {
        std::string left = one.short_name.empty() ? "" : std::string(one.short_name) + ", ";
        left += one.long_name;
        left += one.value.empty() ? "" : " " + std::string(one.value);
        entries.emplace_back(left, std::string(one.help) + (one.required ? " Required." : ""));
    }
    out += "\nOptions:\n";
    append_entries(out, entries, columns);
}

// Appends the commands whose names begin with `group`.
void append_commands(std::string& out, const program& program, const std::string& group,
                     std::size_t columns) {
    std::vector<std::pair<std::string, std::string>> entries;
    for (const command& one : program.commands) {
        if (one.hidden || !one.name.starts_with(group)) continue;
        std::string left(one.name);
        for (const std::string_view word : one.words) {
            left += " " + std::string(word);
        }
        entries.emplace_back(left, one.help);
    }
    append_entries(out, entries, columns);
}

}  // namespace

std::string help_text(const program& program, std::string_view name, std::size_t columns) {
    const std::string start = "Usage: " + std::string(program.name);
    const auto paragraph = [&](std::string_view text) {
        return columns == 0 ? std::string(text) : wrapped(text, columns, 0);
    };
    std::string out;
    if (const command* chosen = find_command(program, name)) {
        out = start + " " + std::string(chosen->name);
        for (const std::string_view word : chosen->words) {
            out += " " + std::string(word);
        }
        out += " [OPTIONS]\n\n" + paragraph(chosen->help) + "\n";
        if (is_group(program, name)) {
            out += "\nCommands of its own:\n";
            append_commands(out, program, std::string(name) + " ", columns);
        }
        append_options(out, chosen->options, columns);
        return out;
    }
    const std::string group = name.empty() ? "" : std::string(name) + " ";
    out = start +
          (name.empty() ? " [OPTIONS] COMMAND\n\n" + paragraph(program.help)
                        : " " + group + "COMMAND") +
          "\n\nCommands:\n";
    append_commands(out, program, group, columns);
    append_options(out, program.options, columns);
    return out;
}

}  // namespace bitdotio::cli
