// Finds out what stands between the fields of a CSV file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

namespace bitdotio {

/// The fields of the first records if `delimiter` stands between them; empty lines are left out.
/// Quotes count only at the beginning of a field, as readers take them.
///
/// Parameters: `whole` if the text ends where the file does; else its last record is left out.
inline std::vector<std::size_t> count_fields(std::string_view text, char delimiter, bool whole) {
    constexpr std::size_t most_records = 100;
    std::vector<std::size_t> counts;
    std::size_t fields = 1;
    bool quoted = false;
    bool begins_field = true;
    bool quoted_field = false;
    bool empty = true;
    for (std::size_t i = 0; i < text.size() && counts.size() < most_records; ++i) {
        const char c = text[i];
        if (quoted) {
            quoted = c != '"';
            continue;
        }
        if (c == '\n' || c == '\r') {
            if (!empty) counts.push_back(fields);
            fields = 1;
            begins_field = empty = true;
            quoted_field = false;
            continue;
        }
        empty = false;
        // A quote within quotes is written twice: the second one opens them again.
        const bool again = quoted_field && i > 0 && text[i - 1] == '"';
        quoted = c == '"' && (begins_field || again);
        quoted_field = quoted || (quoted_field && c != delimiter);
        begins_field = c == delimiter;
        fields += c == delimiter;
    }
    if (whole && !empty && !quoted) counts.push_back(fields);
    return counts;
}

/// Whether the first line names the delimiter, "sep=;", as Excel reads and writes it.
inline bool names_delimiter(std::string_view text) {
    return text.size() > 5 && text.starts_with("sep=") && (text[5] == '\n' || text[5] == '\r') &&
           std::string_view(",;\t|").find(text[4]) != std::string_view::npos;
}

/// The delimiter of a file that begins so: the one it names, else a comma if all records have the
/// same number of fields by it, and more than one; else the semicolon, tab or bar of which that is
/// true; else the one that most records agree on with the first; else a comma.
inline char guess_delimiter(std::string_view text, bool whole) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    if (names_delimiter(text)) return text[4];
    char best = ',';
    std::size_t best_fields = 0;
    bool best_agrees = false;
    for (const char each : {',', ';', '\t', '|'}) {
        const std::vector<std::size_t> counts = count_fields(text, each, whole);
        if (counts.empty() || counts.front() < 2) continue;
        const std::size_t fields = counts.front();
        const auto same =
            static_cast<std::size_t>(std::count(counts.begin(), counts.end(), fields));
        const bool agrees = same == counts.size();
        if (agrees && each == ',') return each;
        if (!agrees && (best_fields > 0 || same * 2 < counts.size())) continue;
        if (agrees && best_agrees && fields <= best_fields) continue;
        best = each;
        best_fields = fields;
        best_agrees = agrees;
    }
    return best;
}

}  // namespace bitdotio
