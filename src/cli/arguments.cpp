// Matches words with options.
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
    const std::size_t key = text.find("v2_");
    return key == std::string_view::npos ? std::string(text)
                                         : std::string(text.substr(0, key)) + "v2_…";
}

std::string quoted(std::string_view text) {
    return "\"" + masked(text) + "\"";
}

// Reads true or false as click does.
bool truth_of(const std::string& value, const std::string& name) {
    const std::string text = ascii::to_lower(value);
    for (const std::string_view yes : {"true", "t", "yes", "y", "on", "1"}) {
        if (text == yes) return true;
    }
    for (const std::string_view no : {"false", "f", "no", "n", "off", "0"}) {
        if (text == no) return false;
    }
    throw wrong(name + " must be true or false, not " + quoted(value));
}

bool is_option(const std::string& word) {
    return word.size() > 1 && word[0] == '-';
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

// The options that a command understands.
std::vector<std::string_view> option_names(const program& program, const command* chosen) {
    std::vector<std::string_view> all = {"--help"};
    const auto add = [&](const std::vector<option>& options) {
        for (const option& one : options)
            all.push_back(one.long_name);
    };
    if (chosen) add(chosen->options);
    add(program.options);
    return all;
}

// The words that may stand after `path`: "list" after "db".
std::vector<std::string_view> command_words(const program& program, const std::string& path) {
    std::vector<std::string_view> all;
    const std::string begin = path.empty() ? "" : path + " ";
    for (const command& one : program.commands) {
        for (std::string_view name : {one.name, one.alias}) {
            if (one.hidden || name.empty() || !name.starts_with(begin)) continue;
            name.remove_prefix(begin.size());
            all.push_back(name.substr(0, name.find(' ')));
        }
    }
    return all;
}

// "; did you mean …?", or nothing.
std::string hint(std::string_view word, const std::vector<std::string_view>& names,
                 const std::string& before = "") {
    const std::string_view near = nearest(word, names);
    return near.empty() ? "" : "; did you mean \"" + before + std::string(near) + "\"?";
}

// What a word may be that stands where none belongs.
std::string advice_on_word(const std::string& word, const command& chosen) {
    const auto has = [&](const char* name) {
        return match_option(chosen.options, name).found != nullptr;
    };
    const bool database =
        std::count(word.begin(), word.end(), '/') == 1 && word.find(' ') == std::string::npos;
    if (database && has("--database")) return "a database is given with -d";
    return has("--query") ? "a statement is given with -q" : "options begin with a dash";
}

bool is_optional_word(std::string_view word) {
    return word.starts_with('[');
}

bool takes_the_rest(const command& one) {
    return !one.words.empty() && one.words.back().find("...") != std::string_view::npos;
}

}  // namespace

const command* find_command(const program& program, std::string_view name) {
    const auto found =
        std::find_if(program.commands.begin(), program.commands.end(), [&](const command& one) {
            return one.name == name || (!one.alias.empty() && one.alias == name);
        });
    return found == program.commands.end() ? nullptr : &*found;
}

bool is_group(const program& program, std::string_view word) {
    return std::any_of(program.commands.begin(), program.commands.end(), [&](const command& one) {
        return one.name.starts_with(std::string(word) + " ");
    });
}

bool comes_from_environment(const option& one) {
    return one.long_name != "--version";
}

std::string variable_of(const program& program, const command* command, const option& one) {
    std::string name = std::string(program.name) + "io";
    for (const std::string_view part :
         {command ? command->name : std::string_view(), one.long_name.substr(2)}) {
        if (!part.empty()) name += "_" + std::string(part);
    }
    for (char& c : name) {
        c = c == '-' || c == ' ' ? '_' : ascii::to_upper(c);
    }
    return name;
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& names) {
    std::string_view best;
    std::size_t least = word.size() > 4 ? 3 : 2;  // a slip of so many letters is another word
    for (const std::string_view name : names) {
        // The distance of two texts: letters added, dropped, changed, or swapped with the next.
        std::vector<std::size_t> before(name.size() + 1), row(name.size() + 1), next(row);
        for (std::size_t j = 0; j <= name.size(); ++j)
            row[j] = j;
        for (std::size_t i = 1; i <= word.size(); ++i) {
            next[0] = i;
            for (std::size_t j = 1; j <= name.size(); ++j) {
                const bool same = word[i - 1] == name[j - 1];
                next[j] = std::min({row[j] + 1, next[j - 1] + 1, row[j - 1] + (same ? 0U : 1U)});
                if (i > 1 && j > 1 && word[i - 1] == name[j - 2] && word[i - 2] == name[j - 1]) {
                    next[j] = std::min(next[j], before[j - 2] + 1);
                }
            }
            std::swap(before, row);
            std::swap(row, next);
        }
        if (row[name.size()] < least && row[name.size()] < name.size()) {
            least = row[name.size()];
            best = name;
        }
    }
    return best;
}

arguments arguments::parse(const program& program, const std::vector<std::string>& words,
                           const char* (*environment)(const char* name)) {
    arguments read;
    bool only_words = false;  // after "--"
    const cli::command* chosen = nullptr;
    std::string path;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string& word = words[i];
        if (word == "--" && chosen && !only_words) {
            only_words = true;
            continue;
        }
        if (!only_words && (word == "-h" || word == "--help")) {
            read.help_ = true;
            continue;
        }
        if (only_words || !is_option(word)) {
            const std::string name = path.empty() ? word : path + " " + word;
            const cli::command* const deeper = only_words ? nullptr : find_command(program, name);
            const bool grouped = !only_words && is_group(program, name);
            if (read.words_.empty() && (deeper || grouped)) {
                chosen = deeper;
                path = name;
            } else if (chosen &&
                       (read.words_.size() < chosen->words.size() || takes_the_rest(*chosen))) {
                read.words_.push_back(word);
            } else if (chosen) {
                throw wrong("unexpected argument " + quoted(word) + " after \"" +
                            std::string(program.name) + " " + std::string(chosen->name) + "\"; " +
                            advice_on_word(word, *chosen) +
                            hint(word, command_words(program, path), path + " "));
            } else {
                throw wrong(
                    "there is no command \"" + (path.empty() ? "" : path + " ") + masked(word) +
                    "\"; see \"" + std::string(program.name) + (path.empty() ? "" : " " + path) +
                    " --help\"" +
                    hint(word, command_words(program, path), path.empty() ? "" : path + " "));
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
                        (chosen ? " " + std::string(chosen->name) : "") + " --help\"" +
                        (chosen && takes_the_rest(*chosen)
                             ? "; what follows \"--\" is passed on"
                             : hint(name_part(word), option_names(program, chosen))));
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
        given& kept = read.values_[std::string(met.found->long_name)];
        if (!met.found->repeated) kept.values.clear();
        kept.values.push_back(*met.attached);
    }
    read.command_ = chosen ? std::string(chosen->name) : path;
    if (read.help_) {
        return read;
    }
    if (!chosen && !path.empty()) {
        throw wrong("\"" + std::string(program.name) + " " + path + "\" needs a command; see \"" +
                    std::string(program.name) + " " + path + " --help\"");
    }
    if (environment) {
        const auto fill = [&](const cli::command* of, const option& one) {
            if (read.has(one.long_name) || !comes_from_environment(one)) return;
            const std::string variable = variable_of(program, of, one);
            const char* const value = environment(variable.c_str());
            if (!value || !*value) return;
            if (one.value.empty() && !truth_of(value, variable)) return;
            given& kept = read.values_[std::string(one.long_name)];
            kept.values.emplace_back(one.value.empty() ? "" : value);
            kept.variable = variable;
        };
        if (chosen) {
            for (const option& one : chosen->options)
                fill(chosen, one);
        }
        for (const option& one : program.options)
            fill(nullptr, one);
    }
    if (chosen && read.words_.size() < chosen->words.size() &&
        !is_optional_word(chosen->words[read.words_.size()])) {
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
    return found == values_.end() ? std::nullopt : std::optional(found->second.values.back());
}

std::vector<std::string> arguments::get_all(std::string_view long_name) const {
    const auto found = values_.find(long_name);
    return found == values_.end() ? std::vector<std::string>() : found->second.values;
}

bool arguments::is_from_environment(std::string_view long_name) const {
    const auto found = values_.find(long_name);
    return found != values_.end() && !found->second.variable.empty();
}

std::string arguments::shown_name(std::string_view long_name) const {
    const auto found = values_.find(long_name);
    const bool by_word = found == values_.end() || found->second.variable.empty();
    return by_word ? "option " + std::string(long_name)
                   : "the environment variable " + found->second.variable;
}

std::optional<bool> arguments::get_bool(std::string_view long_name) const {
    const std::optional<std::string> text = get(long_name);
    if (!text) {
        return std::nullopt;
    }
    return truth_of(*text, shown_name(long_name));
}

std::optional<std::int64_t> arguments::get_size(std::string_view long_name) const {
    const std::optional<std::string> text = get(long_name);
    if (!text) {
        return std::nullopt;
    }
    std::int64_t value = 0;
    const auto [end, failure] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (failure != std::errc() || end != text->data() + text->size() || value < 0) {
        throw wrong(shown_name(long_name) + " must be a number, 0 or more, not " + quoted(*text));
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
        throw wrong(shown_name(long_name) +
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
    throw wrong(shown_name(long_name) +
                " must be a duration of at most a week such as 500ms, 1s, 2m or 1h, not " +
                quoted(*text));
}

}  // namespace bitdotio::cli
