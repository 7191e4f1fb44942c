// Picks the words of a PostgreSQL log that may be shown: never a statement. A pure rule.
#pragma once

#include <string>
#include <string_view>

namespace bitdotio {

/// Returns on one line the messages of LOG, FATAL and PANIC, without the times, and messages from
/// outside PostgreSQL's log, such as the library loader's.
///
/// Other lines may hold statements and their values: DETAIL says what a crashed process was
/// running, and a line that begins with a tab continues the previous one.
///
/// Parameters: `text` begins at the beginning of a line, unless it has only part of one.
inline std::string log_words(std::string_view text) {
    std::string words;
    if (text.find('\n') == std::string_view::npos && text.size() >= 1'000) return words;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(line.size() < text.size() ? line.size() + 1 : text.size());
        if (line.empty() || line.starts_with('\t')) continue;
        // "2024-05-06 07:08:09.123 UTC [42] LOG:  database system is ready"
        const bool dated = line.size() > 11 && line[4] == '-' && line[7] == '-' && line[10] == ' ';
        std::string_view said = line;
        if (dated) {
            const std::size_t process = line.find("] ");
            if (process == std::string_view::npos) continue;
            said.remove_prefix(process + 2);
            if (!said.starts_with("LOG:") && !said.starts_with("FATAL:") &&
                !said.starts_with("PANIC:")) {
                continue;
            }
        }
        words += (words.empty() ? "" : "; ") + std::string(said);
    }
    return words;
}

}  // namespace bitdotio
