// The bit command: words in, exit status out.
#include <bitdotio/error.hpp>

#include "cli/arguments.hpp"
#include "cli/commands.hpp"
#ifndef BITDOTIO_WITHOUT_POSTGRES
#include "cli/operate.hpp"
#include "cli/serve.hpp"
#endif

#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace bitdotio;

// 0 is success, 2 wrong usage, 3 a failed call.
constexpr int wrong_usage = 2;
constexpr int failed = 3;

cli::program make_program() {
    cli::program bit;
    bit.name = "bit";
    bit.help = "Databases of bit.io from the command line. Answers are JSON on standard output.";
    bit.options = {{"-k", cli::key_option, "KEY",
                    "The API key; better in BITIO_KEY or the profile of \"bit serve\"."},
                   {"-v", "--version", "", "Print the version and exit."}};
    bit.commands = cli::api_commands();
#ifndef BITDOTIO_WITHOUT_POSTGRES
    bit.commands.push_back(cli::serve_command());
    for (cli::command& each : cli::operate_commands()) {
        bit.commands.push_back(std::move(each));
    }
#endif
    return bit;
}

// Everyone who lists processes sees their words, so secrets are removed from there at once.
void hide_key(int argc, char** argv) {
    const auto hide = [](char* text) { ::explicit_bzero(text, std::strlen(text)); };
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if ((word == "-k" || word == cli::key_option) && i + 1 < argc) {
            hide(argv[++i]);
        } else if (word.starts_with(std::string(cli::key_option) + "=")) {
            hide(argv[i] + std::strlen(cli::key_option) + 1);
        } else if (word == cli::backend_option && i + 1 < argc) {
            hide(argv[++i]);
        } else if (word.starts_with(std::string(cli::backend_option) + "=")) {
            hide(argv[i] + std::strlen(cli::backend_option) + 1);
        } else if (word.starts_with("-k")) {
            hide(argv[i] + 2);
        }
    }
}

int run(const std::vector<std::string>& words) {
    const cli::program bit = make_program();
    const cli::arguments read = cli::arguments::parse(bit, words);
    if (read.help()) {
        std::cout << cli::help_text(bit, read.command());
    } else if (read.has("--version")) {
        std::cout << "bit " BITDOTIO_VERSION "\n";
    } else if (read.command().empty()) {
        std::cerr << cli::help_text(bit, "");
        return wrong_usage;
#ifndef BITDOTIO_WITHOUT_POSTGRES
    } else if (read.command() == "serve") {
        cli::run_serve(read);
    } else if (cli::is_operate_command(read.command())) {
        cli::run_operate_command(read);
#endif
    } else {
        cli::run_api_command(read);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + (argc > 0), argv + argc);
    hide_key(argc, argv);
    try {
        return run(words);
    } catch (const error& failure) {
        std::cerr << "bit: " << failure.what() << '\n';
        // A "bad input" from the server is a failed call.
        return failure.code() == errc::bad_input && failure.http_status() == 0 ? wrong_usage
                                                                               : failed;
    } catch (const std::exception& failure) {
        std::cerr << "bit: " << failure.what() << '\n';
        return failed;
    }
}
