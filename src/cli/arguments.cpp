// Matches words with options, and prints the help.
#include "cli/arguments.hpp"

#include "base/ascii.hpp"

#include <bitdotio/error.hpp>

#include <algorithm>
#include <charconv>
#include <utility>

namespace bitdotio::cli {

namespace {

error wrong(const std::string& text) {
    return error(errc::bad_input, text);
}

// Text that is shown to the user; a key in the wrong place is still a key.
std::string masked(std::string_view text) {
    return text.starts_with("v2_") ? "v2_…" : std::string(text);
}

std::string quoted(std::string_view text) {
    return "\"" + masked(text) + "\"";
}

bool is_option(const std::string& word) {
    return word.size() > 1 && word[0] == '-';
}

const command* find_command(const program& program, std::string_view name) {
    const auto found =
        std::find_if(program.commands.begin(), program.commands.end(), [&](const command& one) {
            return one.name == name || (!one.alias.empty() && one.alias == name);
        });
    return found == program.commands.end() ? nullptr : &*found;
}

// Whether some command's name begins with this word, such as "db" of "db list".
bool is_group(const program& program, std::string_view word) {
    return std::any_of(program.commands.begin(), program.commands.end(), [&](const command& one) {
        return one.name.starts_with(std::string(word) + " ");
    });
}

// An option found in a word, with the value if it was attached.
struct match {
    const option* found = nullptr;
    std::optional<std::string> attached{};
};

match match_option(const std::vector<option>& options, const std::string& word) {
    for (const option& one : options) {
        if (word == one.long_name || (!one.short_name.empty() && word == one.short_name)) {
            return {&one};
        }
    }
    for (const option& one : options) {
        if (word.starts_with(std::string(one.long_name) + "=")) {
            return {&one, word.substr(one.long_name.size() + 1)};
        }
        // Only a one-letter name can have its value attached.
        if (one.short_name.size() == 2 && !one.value.empty() && word.starts_with(one.short_name)) {
            return {&one, word.substr(2)};
        }
    }
    return {};
}

// The word without an attached value, which may be a secret.
std::string name_part(const std::string& word) {
    return word.starts_with("--") ? word.substr(0, word.find('=')) : word.substr(0, 3);
}

std::string names(const option& one) {
    return one.short_name.empty() ? std::string(one.long_name)
                                  : std::string(one.short_name) + "/" + std::string(one.long_name);
}

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
        if (!one.name.starts_with(group)) continue;
        std::string left(one.name);
        for (const std::string_view word : one.words) {
            left += " " + std::string(word);
        }
        entries.emplace_back(left, one.help);
    }
    append_entries(out, entries);
}

}  // namespace

arguments arguments::parse(const program& program, const std::vector<std::string>& words) {
    arguments read;
    const cli::command* chosen = nullptr;
    std::string path;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string& word = words[i];
        if (word == "-h" || word == "--help") {
            read.help_ = true;
            continue;
        }
        if (!is_option(word)) {
            const std::string name = path.empty() ? word : path + " " + word;
            const cli::command* const deeper = find_command(program, name);
            const bool grouped = is_group(program, name);
            if (read.words_.empty() && (deeper || grouped)) {
                chosen = deeper;
                path = name;
            } else if (chosen && read.words_.size() < chosen->words.size()) {
                read.words_.push_back(word);
            } else if (chosen) {
                throw wrong("unexpected argument " + quoted(word) + " after \"" +
                            std::string(program.name) + " " + std::string(chosen->name) +
                            "\"; options begin with a dash");
            } else {
                throw wrong("there is no command \"" + (path.empty() ? "" : path + " ") +
                            masked(word) + "\"; see \"" + std::string(program.name) +
                            (path.empty() ? "" : " " + path) + " --help\"");
            }
            continue;
        }
        match met;
        if (chosen) {
            met = match_option(chosen->options, word);
        }
        if (!met.found) {
            met = match_option(program.options, word);
        }
        if (!met.found) {
            throw wrong("there is no option " + quoted(name_part(word)) + "; see \"" +
                        std::string(program.name) +
                        (chosen ? " " + std::string(chosen->name) : "") + " --help\"");
        }
        if (met.found->value.empty()) {
            if (met.attached) {
                throw wrong("option " + names(*met.found) + " takes no value");
            }
            met.attached.emplace();
        } else if (!met.attached) {
            if (++i == words.size()) {
                throw wrong("option " + names(*met.found) + " needs a value, " +
                            std::string(met.found->value));
            }
            met.attached = words[i];
        }
        read.values_[std::string(met.found->long_name)] = *met.attached;
    }
    read.command_ = chosen ? std::string(chosen->name) : path;
    if (read.help_) {
        return read;
    }
    if (!chosen && !path.empty()) {
        throw wrong("\"" + std::string(program.name) + " " + path + "\" needs a command; see \"" +
                    std::string(program.name) + " " + path + " --help\"");
    }
    if (chosen && read.words_.size() < chosen->words.size()) {
        throw wrong("\"" + std::string(program.name) + " " + read.command_ + "\" needs " +
                    std::string(chosen->words[read.words_.size()]));
    }
    if (chosen) {
        for (const option& one : chosen->options) {
            if (one.required && !read.has(one.long_name)) {
                throw wrong("\"" + std::string(program.name) + " " + read.command_ +
                            "\" needs the option " + names(one) + " " + std::string(one.value));
            }
        }
    }
    return read;
}

bool arguments::has(std::string_view long_name) const {
    return values_.find(long_name) != values_.end();
}

std::optional<std::string> arguments::get(std::string_view long_name) const {
    const auto found = values_.find(long_name);
    return found == values_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<bool> arguments::get_bool(std::string_view long_name) const {
    const std::optional<std::string> given = get(long_name);
    if (!given) {
        return std::nullopt;
    }
    const std::string text = ascii::to_lower(*given);
    if (text == "true" || text == "yes" || text == "1") return true;
    if (text == "false" || text == "no" || text == "0") return false;
    throw wrong("option " + std::string(long_name) + " must be true or false, not " +
                quoted(*given));
}

std::optional<std::int64_t> arguments::get_size(std::string_view long_name) const {
    const std::optional<std::string> text = get(long_name);
    if (!text) {
        return std::nullopt;
    }
    std::int64_t value = 0;
    const auto [end, failure] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (failure != std::errc() || end != text->data() + text->size() || value < 0) {
        throw wrong("option " + std::string(long_name) + " must be a number, 0 or more, not " +
                    quoted(*text));
    }
    return value;
}

std::optional<std::uint16_t> arguments::get_port(std::string_view long_name) const {
    const std::optional<std::string> text = get(long_name);
    if (!text) {
        return std::nullopt;
    }
    std::uint16_t value = 0;
    const auto [end, failure] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (failure != std::errc() || end != text->data() + text->size()) {
        throw wrong("option " + std::string(long_name) +
                    " must be a port, 1 to 65535, or 0 for a free one, not " + quoted(*text));
    }
    return value;
}

std::optional<std::chrono::milliseconds> arguments::get_duration(std::string_view long_name) const {
    const std::optional<std::string> text = get(long_name);
    if (!text) {
        return std::nullopt;
    }
    struct unit {
        std::string_view name;
        std::int64_t milliseconds;
    };
    // A week; more is a slip, and at some size could not be counted in nanoseconds.
    constexpr std::int64_t most = std::int64_t{7} * 24 * 3'600'000;
    std::int64_t value = 0;
    const char* const last = text->data() + text->size();
    const auto [end, failure] = std::from_chars(text->data(), last, value);
    if (failure == std::errc() && value > 0) {
        const std::string_view suffix(end, static_cast<std::size_t>(last - end));
        for (const unit& one : {unit{"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}}) {
            if (suffix == one.name && value <= most / one.milliseconds) {
                return std::chrono::milliseconds(value * one.milliseconds);
            }
        }
    }
    throw wrong("option " + std::string(long_name) +
                " must be a duration of at most a week such as 500ms, 1s, 2m or 1h, not " +
                quoted(*text));
}

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
