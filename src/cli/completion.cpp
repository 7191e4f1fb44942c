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
    const auto paths = next;
    for (const auto& [path, follow] : paths)
        next[path.empty() ? "help" : "help " + path] = follow;
    next["completion"] = {"bash", "fish", "zsh"};
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

std::string spaced(const std::set<std::string>& words) {
    std::string list;
    for (const std::string& word : words)
        list += (list.empty() ? "" : " ") + word;
    return list;
}

// What a shell runs for the names of profiles. It fails in silence.
constexpr std::string_view names_of_profiles = "command bit profile names 2>/dev/null";

// Where the name of a profile is a word of its own.
bool takes_profile(const command& one) {
    return one.name == "profile use" || one.name == "profile show";
}

// Options whose value is no word of a command. Where an option takes one in some commands and none
// in others, it is not among them.
std::set<std::string> valued_options(const program& program) {
    std::set<std::string> valued;
    std::set<std::string> bare;
    const auto add = [&](const option& one) {
        for (const std::string_view name : {one.short_name, one.long_name}) {
            if (!name.empty()) (one.value.empty() ? bare : valued).emplace(name);
        }
    };
    for (const option& one : program.options)
        add(one);
    for (const command& each : program.commands) {
        for (const option& one : each.options)
            add(one);
    }
    for (const std::string& name : bare)
        valued.erase(name);
    return valued;
}

// Cases of bash for the values of options: "query --format" has a list.
std::string bash_values(const program& program) {
    std::string values;
    const auto add = [&](const std::string& path, const option& one) {
        if (one.choices.empty() || one.choices == "file") return;
        values += "        ";
        if (!one.short_name.empty()) {
            values += path + std::string(one.short_name) + "' | ";
        }
        values += path + std::string(one.long_name) + "') COMPREPLY=($(compgen -P \"$given\" -W ";
        values += one.choices == "profile" ? "\"$(" + std::string(names_of_profiles) + ")\""
                                           : "'" + spaced(one.choices) + "'";
        values += " -- \"$word\")); return ;;\n";
    };
    for (const command& one : program.commands) {
        for (const option& each : one.options) {
            if (each.choices != "profile") add("'" + std::string(one.name) + " ", each);
        }
    }
    for (const option& each : program.options)
        add("*' ", each);
    return values;
}

std::string bash_script(const program& program) {
    std::string words;
    std::string options;
    for (const auto& [path, follow] : next_words(program)) {
        words += "        '" + path + "') next='" + spaced(follow) + "' ;;\n";
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
        if (takes_profile(one)) {
            words += "        '" + std::string(one.name) + "') next=$(" +
                     std::string(names_of_profiles) + ") ;;\n";
        }
    }
    // Not "path", "words" or "options", which are zsh's own; files are readline's default, which
    // does not take a command's name for a directory of that name. bash takes "--format=js" apart
    // at the sign, zsh does not.
    return "# Completion of bit for bash.\n"
           "_bit() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
           "    local at= next= flags= i try value= given=\n"
           "    COMPREPLY=()\n"
           "    if [[ $word == = ]]; then\n"
           "        word=\n"
           "    elif [[ $before == = ]]; then\n"
           "        before=${COMP_WORDS[COMP_CWORD-2]}\n"
           "    elif [[ $word == --*=* ]]; then\n"
           "        before=${word%%=*} given=${word%%=*}= word=${word#*=}\n"
           "    fi\n"
           "    for ((i = 1; i < COMP_CWORD; ++i)); do\n"
           "        if [[ $value || ${COMP_WORDS[i]} == = ]]; then value=; continue; fi\n"
           "        case \" $_bit_valued \" in *\" ${COMP_WORDS[i]} \"*) value=1; continue ;; "
           "esac\n"
           "        try=\"${at:+$at }${COMP_WORDS[i]}\"\n"
           "        case \" $_bit_paths \" in *\",$try,\"*) at=$try ;; esac\n"
           "    done\n"
           "    case \"$at $before\" in\n" +
           bash_values(program) +
           "    esac\n"
           "    case \" $_bit_valued \" in *\" $before \"*) return ;; esac\n"
           "    if [[ $given ]]; then return; fi\n"
           "    case $at in\n" +
           words +
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
           "_bit_valued='" +
           spaced(valued_options(program)) +
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

// What fish offers as the value of an option.
std::string fish_values(const option& one) {
    if (one.choices == "profile") {
        return " -r -F -a " + shell_quoted("(" + std::string(names_of_profiles) + ")");
    }
    const bool is_file = one.choices == "file" ||
                         one.value.find("FILE") != std::string_view::npos || one.value == "DIR";
    if (is_file) return " -r -F";
    return one.choices.empty() ? " -x" : " -x -a " + shell_quoted(spaced(one.choices));
}

std::string fish_script(const program& program) {
    std::string out =
        "# Completion of bit for fish.\n"
        "set -g __bit_valued " +
        spaced(valued_options(program)) +
        "\n"
        "function __bit_words\n"
        "    set -l words (commandline -opc)\n"
        "    set -l value 0\n"
        "    for word in $words[2..-1]\n"
        "        if test $value = 1\n"
        "            set value 0\n"
        "        else if contains -- $word $__bit_valued\n"
        "            set value 1\n"
        "        else if not string match -q -- '-*' $word\n"
        "            echo $word\n"
        "        end\n"
        "    end\n"
        "end\n"
        "function __bit_at\n"
        "    set -l words (__bit_words)\n"
        "    test \"$words\" = \"$argv\"\n"
        "end\n"
        "function __bit_under\n"
        "    set -l words (__bit_words)\n"
        "    string match -q -- \"$argv *\" \"$words \"\n"
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
        if (!each.short_name.empty()) {
            out += each.short_name.size() == 2 ? " -s " : " -o ";
            out += each.short_name.substr(1);
        }
        if (!each.value.empty()) out += fish_values(each);
        out += " -d " + shell_quoted(each.help) + "\n";
    };
    for (const option& each : options_of(program, nullptr))
        add("", each);
    for (const command& one : program.commands) {
        if (one.hidden) continue;
        const std::string condition = " -n '__bit_under " + std::string(one.name) + "'";
        for (const option& each : one.options)
            add(condition, each);
        if (takes_profile(one)) {
            out += "complete -c bit -n '__bit_at " + std::string(one.name) + "' -a " +
                   shell_quoted("(" + std::string(names_of_profiles) + ")") + "\n";
        }
        for (const std::string_view word : one.words) {
            if (word.find("FILE") == std::string_view::npos) continue;
            out += "complete -c bit" + condition + " -F\n";
        }
    }
    return out;
}

}  // namespace

std::string completion_script(const program& program, const std::string& shell) {
    if (shell == "bash") return bash_script(program);
    // zsh reads completions of bash as they are. Where it has loaded them at the first press of the
    // key, as it does those of packages, they are still to be run. Its files by default are not
    // those after "--key-file=".
    if (shell == "zsh") {
        return "#compdef bit\nautoload -U +X bashcompinit && bashcompinit\n" +
               bash_script(program) +
               "_bit_zsh() {\n"
               "    _bash_complete -o default -F _bit && return\n"
               "    compset -P '--*=' && _files\n"
               "}\n"
               "compdef _bit_zsh bit\n"
               "if [[ $funcstack[1] == _bit ]]; then _bit_zsh; fi\n";
    }
    if (shell == "fish") return fish_script(program);
    throw error(errc::bad_input,
                "there are completions for bash, zsh and fish, not for \"" + shell + "\"");
}

}  // namespace bitdotio::cli
