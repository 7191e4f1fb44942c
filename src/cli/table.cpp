// Puts the groups of commands together, and adds those about the command itself.
#include "cli/table.hpp"

#include "cli/commands.hpp"
#include "cli/query.hpp"
#include "cli/terminal.hpp"
#ifndef BITDOTIO_WITHOUT_POSTGRES
#include "cli/operate.hpp"
#include "cli/serve.hpp"
#endif

#include <unistd.h>
#include <iterator>
#include <utility>

namespace bitdotio::cli {

namespace {

void run_completion(const arguments& words) {
    print(completion_script(bit_program(), words.words()[0]));
}

void run_help(const arguments& words) {
    std::string name;
    for (const std::string& word : words.words())
        name += (name.empty() ? "" : " ") + word;
    const program bit = bit_program();
    if (!name.empty() && !find_command(bit, name) && !is_group(bit, name)) {
        std::vector<std::string_view> names;
        for (const command& one : bit.commands)
            if (!one.hidden) names.push_back(one.name);
        const std::string near(nearest(name, names));
        throw error(errc::bad_input, "there is no command \"" + name + "\"; see \"bit --help\"" +
                                         (near.empty() ? "" : "; did you mean \"" + near + "\"?"));
    }
    print(help_text(bit, name, columns_of_screen(STDOUT_FILENO)));
}

void run_version(const arguments&) {
    print("bit " BITDOTIO_VERSION "\n");
}

void run_man_page(const arguments&) {
    print(man_page(bit_program()));
}

}  // namespace

std::vector<command> shell_commands() {
    return {{"completion",
             "",
             "Print what bash, zsh or fish read to complete the words of bit.",
             {},
             {"bash|zsh|fish"},
             &run_completion},
            {"help", "", "Show the help of a command.", {}, {"[COMMAND...]"}, &run_help},
            {"version", "", "Print the version.", {}, {}, &run_version},
            {"man-page", "", "Print the manual's page in roff.", {}, {}, &run_man_page, true}};
}

program bit_program() {
    program bit;
    bit.name = "bit";
    bit.help =
        "Databases of bit.io from the command line. Answers are tables and text on a terminal, "
        "else JSON.";
    bit.options = {
        {"-k", key_option, "KEY", "The API key; better in BITIO_KEY, --key-file or a profile."},
        {"", "--key-file", "FILE", "A file with the API key, which only its owner may read.", false,
         "file"},
        {"", profile_option_name, "NAME|FILE", "The profile to use; see \"bit profile list\".",
         false, "profile"},
        {"", "--json", "", "Answer in JSON on a terminal too."},
        {"", "--verbose", "", "Show addresses, times and attempts on standard error."},
        {"", "--no-color", "", "No colours; NO_COLOR does the same."},
        {"-v", "--version", "", "Print the version and exit."}};
    const auto add = [&](std::vector<command> group) {
        bit.commands.insert(bit.commands.end(), std::make_move_iterator(group.begin()),
                            std::make_move_iterator(group.end()));
    };
    add(query_commands());
    add(database_commands());
    add(transfer_commands());
    add(status_commands());
    add(key_commands());
#ifndef BITDOTIO_WITHOUT_POSTGRES
    add(connect_commands());
    add(copy_commands());
#endif
    add(profile_commands());
#ifndef BITDOTIO_WITHOUT_POSTGRES
    add({serve_command()});
    add(operate_commands());
#endif
    add(shell_commands());
    return bit;
}

}  // namespace bitdotio::cli
