# Makes one source of all code fences of the pages: a program stays as it is and goes to a file of
# its own, a fence with specializations or a test case stands at namespace scope, and any other is the
# body of a coroutine, with the names of context.hpp at hand.
#
#   awk -v out=DIRECTORY -f snippets.awk README.md docs/*.md
function page_of(path) {
    sub(/.*\//, "", path)
    sub(/\.md$/, "", path)
    gsub(/[^A-Za-z0-9]/, "_", path)
    return tolower(path)
}

BEGIN {
    all = out "/snippets.cpp"
    print "// Every code fence of README.md and docs/." > all
    print "#include \"docs/context.hpp\"" > all
}
FNR == 1 { page = page_of(FILENAME); count = 0 }
/^```cpp$/ { code = ""; first = FNR + 1; fence = 1; next }
fence && /^```$/ {
    fence = 0
    name = page "_" ++count
    place = "#line " first " \"" FILENAME "\"\n"
    if (code ~ /(^|\n)int main\(/) {
        printf "%s%s", place, code > (out "/" name ".cpp")
        close(out "/" name ".cpp")
    } else if (code ~ /^TEST_CASE/) {
        printf "namespace %s {\nusing namespace bitdotio;\ntest::database& shared();\n%s%s}\n", name,
            place, code > all
    } else if (code ~ /^(template <>|struct |#include )/) {
        printf "%s%s\n", place, code > all
    } else {
        printf "struct %s : context {\n    asio::awaitable<void> run() {\n%s%s", name, place, code > all
        print "        co_return;\n    }\n};\n" > all
    }
    next
}
fence { code = code $0 "\n" }
