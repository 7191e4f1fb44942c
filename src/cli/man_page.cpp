// Writes bit(1) from the tables of commands and of exit codes.
#include "cli/table.hpp"

#include "cli/exit_codes.hpp"

#include <string_view>

namespace bitdotio::cli {

namespace {

std::string roff(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\\') {
            out += "\\e";
        } else if (c == '-') {
            out += "\\-";
        } else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) {
            out += "\\&";
            out += c;
        } else {
            out += c;
        }
    }
    return out;
}

void append_roff_option(std::string& page, const program& program, const command* of,
                        const option& one) {
    page += ".TP\n\\fB";
    if (!one.short_name.empty()) page += roff(one.short_name) + "\\fR, \\fB";
    page += roff(one.long_name) + "\\fR";
    if (!one.value.empty()) page += " \\fI" + roff(one.value) + "\\fR";
    page += "\n" + roff(one.help) + (one.required ? " Required." : "");
    if (comes_from_environment(one)) page += " Also " + variable_of(program, of, one) + ".";
    page += "\n";
}

}  // namespace

std::string man_page(const program& program) {
    std::string page = ".TH BIT 1 \"\" \"bitdotio " BITDOTIO_VERSION
                       "\" \"User Commands\"\n"
                       ".SH NAME\nbit \\- databases of bit.io from the command line\n"
                       ".SH SYNOPSIS\n.B bit\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n"
                       ".SH DESCRIPTION\n" +
                       roff(program.help) +
                       " An option can also be given by the environment variable that is named "
                       "with it.\n.SH OPTIONS\n";
    for (const option& one : program.options) {
        append_roff_option(page, program, nullptr, one);
    }
    page +=
        ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nShow the help of the program or a command.\n"
        ".SH COMMANDS\n";
    for (const command& one : program.commands) {
        if (one.hidden) continue;
        page += ".SS bit " + roff(one.name);
        for (const std::string_view word : one.words)
            page += " " + roff(word);
        page += "\n" + roff(one.help) + "\n";
        for (const option& each : one.options)
            append_roff_option(page, program, &one, each);
    }
    page += ".SH EXIT STATUS\n";
    for (const exit_meaning& each : exit_codes) {
        page +=
            ".TP\n" + std::to_string(static_cast<int>(each.code)) + "\n" + roff(each.when) + "\n";
    }
    page +=
        ".SH FILES\n.TP\n~/.config/bitdotio/profile.json\nWhere the service is, and the key; "
        "others are in the directory profiles beside it.\n.SH SEE ALSO\n.BR psql (1)\n";
    return page;
}

}  // namespace bitdotio::cli
