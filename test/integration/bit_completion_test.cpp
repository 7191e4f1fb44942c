// What bash offers at a TAB, asked of the script that bit writes for it.
#include "support/child.hpp"
#include "support/run_alone.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace fs = std::filesystem;

TEST_CASE("bash completes commands, options, their values and the names of profiles") {
    const test::temporary_directory directory;
    const fs::path profiles = directory.path() / "bitdotio" / "profiles";
    fs::create_directories(profiles);
    std::ofstream(profiles.parent_path() / "profile.json") << "{}";
    for (const char* const name : {"shop.json", "test.json", "$(touch trap).json", "notes.txt"})
        std::ofstream(profiles / name) << "{}";
    const fs::path file = directory.path() / "bit.bash";
    std::ofstream(file) << test::run_alone(BIT_PROGRAM, {"completion", "bash"}).out;
    const fs::path place = fs::path(BIT_PROGRAM).parent_path();
    const auto completed = [&](const std::string& words, const std::string& path) {
        const auto ended = test::run_program(
            {"bash", "-c",
             "unset BITIO_PROFILE; cd '" + directory.path().string() + "'; . '" + file.string() +
                 "'; PATH='" + path + "'; COMP_WORDS=(" + words +
                 "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _bit; echo \"${COMPREPLY[*]}\""},
            {{"XDG_CONFIG_HOME", directory.path().string()}});
        CHECK_MESSAGE(ended.err.empty(), ended.err);
        return ended.out.substr(0, ended.out.find('\n'));
    };
    struct row {
        const char* words;
        const char* completed;
    };
    for (const row& one : {row{"bit db cr", "create"},
                           {"bit help pro", "profile"},
                           {"bit query --form", "--format"},
                           {"bit query --format js", "json jsonl"},
                           {"bit query --format = js", "json jsonl"},
                           // As zsh has it, and bash where "=" parts no words.
                           {"bit query --format=js", "--format=json --format=jsonl"},
                           {"bit --profile=t", "--profile=test"},
                           {"bit --profile=test db cr", "create"},
                           {"bit serve --data-dir=''", ""},
                           {"bit query --json=q", ""},
                           {"bit db create -p f", "false"},
                           {"bit help db cr", "create"},
                           {"bit profile ''", "list show use"},
                           {"bit profile use ''", "default shop test"},
                           {"bit profile show s", "shop"},
                           {"bit --profile ''", "default shop test"},
                           {"bit db list --profile t", "test"},
                           {"bit query --profile = t", "test"},
                           {"bit serve status --profile = ''", "default shop test"},
                           {"bit --profile db key re", "revoke"},
                           // Files, which bash completes by itself.
                           {"bit serve --data-dir ''", ""},
                           {"bit import ''", ""}}) {
        CAPTURE(one.words);
        CHECK(completed(one.words, place.string()) == one.completed);
    }
    CHECK(completed("bit profile use ''", "/nowhere").empty());
    CHECK_FALSE(fs::exists(directory.path() / "trap"));
}
