// Writes completions for shells from the table of commands.
#include "cli/table.hpp"

#include <bitdotio/error.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

namespace bitdotio::cli {

namespace {

// Options of a command and of the program, "--help" among them.
std::vector<option> options_of(const program& program, const command* one) {
    std::vector<option> all;
    if (one) all = one->options;
    for (const option& each : program.options) {
        const bool there = std::any_of(all.begin(), all.end(), [&](const option& before) {
            return before.long_name == each.long_name;
        });
        if (!there) all.push_back(each);
    }
    all.push_back({"-h", "--help", "", "Show this and exit."});
    return all;
}

// The words that may follow each path of commands: "db" has "list", "create", …; "help" has all.
std::map<std::string, std::set<std::string>> next_words(const program& program) {
    std::map<std::string, std::set<std::string>> next;
    for (const command& one : program.commands) {
        if (one.hidden) continue;
        for (const std::string_view each : {one.name, one.alias}) {
            std::string path;
            const std::string name = std::string(each) + " ";
            for (std::size_t begin = 0; !each.empty() && begin < name.size();) {
                const std::size_t end = name.find(' ', begin);
                const std::string word = name.substr(begin, end - begin);
                next[path].insert(word);
                path += (path.empty() ? "" : " ") + word;
                begin = end + 1;
            }
        }
    }
    next["completion"] = {"bash", "fish", "zsh"};
    next["help"] = next[""];
    return next;
}

// All paths of commands and groups, each between commas.
std::string all_paths(const program& program) {
    std::string paths = ",";
    for (const auto& [path, follow] : next_words(program)) {
        for (const std::string& word : follow)
            paths += (path.empty() ? "" : path + " ") + word + ",";
    }
    return paths;
}

std::string spaced(std::string_view choices) {
    std::string words(choices);
    std::replace(words.begin(), words.end(), '|', ' ');
    return words;
}

std::string bash_script(const program& program) {
    std::string words;
    std::string options;
    for (const auto& [path, follow] : next_words(program)) {
        std::string list;
        for (const std::string& word : follow)
            list += (list.empty() ? "" : " ") + word;
        words += "        '" + path + "') next='" + list + "' ;;\n";
    }
    const auto add = [&](std::string_view path, const command* one) {
        std::string list;
        for (const option& each : options_of(program, one)) {
            list += (list.empty() ? "" : " ") + std::string(each.long_name);
        }
        options += "        '" + std::string(path) + "') flags='" + list + "' ;;\n";
    };
    add("", nullptr);
    for (const command& one : program.commands) {
        if (one.hidden) continue;
        add(one.name, &one);
        if (!one.alias.empty()) add(one.alias, &one);
    }
    std::string values;
    for (const command& one : program.commands) {
        for (const option& each : one.options) {
            if (each.choices.empty() || each.choices == "file") continue;
            const std::string name(one.name);
            values += "        ";
            if (!each.short_name.empty()) {
                values += "'" + name + " " + std::string(each.short_name) + "' | ";
            }
            values += "'" + name + " " + std::string(each.long_name) +
                      "') COMPREPLY=($(compgen -W '" + spaced(each.choices) +
                      "' -- \"$word\")); return ;;\n";
        }
    }
    // Not "path", "words" or "options", which are zsh's own; files are readline's default, which
    // does not take a command's name for a directory of that name.
    return "# Completion of bit for bash.\n"
           "_bit() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
           "    local at= next= flags= i try\n"
           "    for ((i = 1; i < COMP_CWORD; ++i)); do\n"
           "        try=\"${at:+$at }${COMP_WORDS[i]}\"\n"
           "        case \" $_bit_paths \" in *\",$try,\"*) at=$try ;; esac\n"
           "    done\n"
           "    case $at in\n" +
           words +
           "    esac\n"
           "    case \"$at $before\" in\n" +
           values +
           "    esac\n"
           "    if [[ $word == -* ]]; then\n"
           "        case $at in\n" +
           options +
           "        esac\n"
           "        COMPREPLY=($(compgen -W \"$flags\" -- \"$word\"))\n"
           "    else\n"
           "        COMPREPLY=($(compgen -W \"$next\" -- \"$word\"))\n"
           "    fi\n"
           "}\n"
           "_bit_paths='" +
           all_paths(program) +
           "'\n"
           "complete -o default -F _bit bit\n";
}

// In single quotes, which stand for themselves in neither shell.
std::string shell_quoted(std::string_view text) {
    std::string quoted = "'";
    for (const char c : text)
        quoted += c == '\'' ? std::string("’") : std::string(1, c);
    return quoted + "'";
}

std::string fish_script(const program& program) {
    std::string out =
        "# Completion of bit for fish.\n"
        "function __bit_at\n"
        "    set -l words (commandline -opc | string match -v -- '-*')\n"
        "    test \"$words[2..-1]\" = \"$argv\"\n"
        "end\n"
        "function __bit_under\n"
        "    set -l words (commandline -opc | string match -v -- '-*')\n"
        "    string match -q -- \"$argv*\" \"$words[2..-1]\"\n"
        "end\n"
        "complete -c bit -f\n";
    for (const auto& [path, follow] : next_words(program)) {
        for (const std::string& word : follow) {
            const command* const one =
                find_command(program, path.empty() ? word : path + " " + word);
            out += "complete -c bit -n '__bit_at " + path + "' -a " + word +
                   (one ? " -d " + shell_quoted(one->help) : "") + "\n";
        }
    }
    const auto add = [&](const std::string& condition, const option& each) {
        out += "complete -c bit" + condition + " -l " + std::string(each.long_name.substr(2));
        if (each.short_name.size() == 2) out += " -s " + std::string(each.short_name.substr(1));
        if (!each.value.empty()) {
            out += each.choices == "file" || each.choices.empty()
                       ? " -r -F"
                       : " -x -a " + shell_quoted(spaced(each.choices));
        }
        out += " -d " + shell_quoted(each.help) + "\n";
    };
    for (const option& each : options_of(program, nullptr))
        add("", each);
    for (const command& one : program.commands) {
        if (one.hidden) continue;
        for (const option& each : one.options) {
            add(" -n '__bit_under " + std::string(one.name) + "'", each);
        }
    }
    return out;
}

}  // namespace

std::string completion_script(const program& program, const std::string& shell) {
    if (shell == "bash") return bash_script(program);
    // zsh reads completions of bash as they are.
    if (shell == "zsh") {
        return "#compdef bit\nautoload -U +X bashcompinit && bashcompinit\n" + bash_script(program);
    }
    if (shell == "fish") return fish_script(program);
    throw error(errc::bad_input,
                "there are completions for bash, zsh and fish, not for \"" + shell + "\"");
}

}  // namespace bitdotio::cli
