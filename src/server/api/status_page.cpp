// Writes the page's tables.
#include "server/api/status_page.hpp"

#include "base/rfc3339.hpp"

#include <openssl/evp.h>

#include <array>
#include <chrono>
#include <cstdint>

namespace bitdotio {

namespace {

using clock = std::chrono::system_clock;

constexpr std::string_view style = R"(
:root { color-scheme: light dark; --line: #d0d4da; --soft: #5c6570; --good: #14713b; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a4049; --soft: #a2acb8; --good: #6fd298; --bad: #ff8a80; }
}
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p, .none { color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .6rem; text-align: left; }
td.number, th.number { font-variant-numeric: tabular-nums; text-align: right; }
.awake, .DONE { color: var(--good); } .FAILED { color: var(--bad); }
)";

std::string base64(const unsigned char* bytes, std::size_t size) {
    std::string text(4 * ((size + 2) / 3) + 1, '\0');
    const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes,
                                       static_cast<int>(size));
    text.resize(static_cast<std::size_t>(length));
    return text;
}

std::string page_time(clock::time_point when) {
    const std::string full = api::encode_time(std::chrono::floor<std::chrono::microseconds>(when));
    return full.substr(0, 10) + " " + full.substr(11, 8) + " UTC";
}

std::string duration_text(clock::duration time) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
    if (seconds < 120) return std::to_string(seconds) + " s";
    if (seconds < 2 * 3'600) return std::to_string(seconds / 60) + " min";
    if (seconds < 48 * 3'600) return std::to_string(seconds / 3'600) + " h";
    return std::to_string(seconds / (24 * 3'600)) + " days";
}

std::string size_text(std::int64_t bytes) {
    constexpr std::array<const char*, 5> units = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < units.size()) {
        value /= 1024;
        ++unit;
    }
    std::string text = std::to_string(value);
    text.resize(text.find('.') + (unit == 0 ? 0 : 2));
    return text + " " + units[unit];
}

struct table {
    explicit table(std::string title_) : title(std::move(title_)) {}

    void cell(const std::string& text, const char* kind = "") {
        rows += std::string("<td") + (*kind ? std::string(" class=\"") + kind + "\"" : "") + ">" +
                html_escaped(text) + "</td>";
    }
    void number(const std::string& text) { cell(text, "number"); }

    std::string title;
    std::string rows;
};

std::string section(const table& what, std::initializer_list<const char*> heads,
                    const char* nothing) {
    std::string html = "<h2>" + what.title + "</h2>\n";
    if (what.rows.empty()) return html + "<p class=\"none\">" + nothing + "</p>\n";
    html += "<div class=\"wide\"><table><thead><tr>";
    for (const char* head : heads) {
        // A head that ends in a bar is over a column of numbers.
        const std::string_view text(head);
        const bool number = text.ends_with('|');
        html += number ? "<th class=\"number\">" : "<th>";
        html += std::string(text.substr(0, text.size() - number)) + "</th>";
    }
    return html + "</tr></thead><tbody>\n" + what.rows + "</tbody></table></div>\n";
}

std::string about_databases(const server_view& view) {
    table shown("Databases");
    for (const server_view::database_line& line : view.databases) {
        const auto& figures = line.figures;
        shown.rows += "<tr>";
        shown.cell(line.about.name.full());
        shown.cell(line.is_awake ? "awake" : "asleep", line.is_awake ? "awake" : "asleep");
        shown.number(std::to_string(figures.sessions));
        shown.number(std::to_string(figures.wakes) +
                     (figures.failed_wakes > 0
                          ? " (" + std::to_string(figures.failed_wakes) + " failed)"
                          : ""));
        shown.number(size_text(line.about.storage_usage_bytes) + " of " +
                     size_text(line.about.storage_limit_bytes.value_or(0)));
        shown.cell(figures.last_used ? page_time(*figures.last_used) : "not since the start");
        shown.rows += "</tr>\n";
    }
    return section(shown, {"Name", "State", "Connections|", "Wakes|", "Storage|", "Last activity"},
                   "There is no database yet.");
}

std::string about_connections(const server_view& view) {
    table shown("Connections");
    for (const auto& [number, visit] : view.figures.visits) {
        shown.rows += "<tr>";
        shown.cell(visit.facts.database);
        shown.cell(visit.facts.account);
        shown.cell(visit.facts.peer);
        shown.cell(page_time(visit.since));
        shown.rows += "</tr>\n";
    }
    return section(shown, {"Database", "Account", "From", "Since"}, "Nobody is connected.");
}

std::string about_jobs(const server_view& view) {
    table shown("Jobs");
    for (const job_record& job : view.jobs) {
        const auto begun = job.date_created.value_or(catalog_time());
        const auto until =
            job.date_finished.value_or(std::chrono::floor<std::chrono::microseconds>(view.now));
        shown.rows += "<tr>";
        shown.cell(std::string(kind_name(job)));
        shown.cell(view.name_of(job.database_id));
        shown.cell(std::string(state_name(job.state)) +
                       (job.error_type.empty() ? "" : ": " + job.error_type),
                   std::string(state_name(job.state)).c_str());
        shown.cell(page_time(begun));
        const auto moved = view.figures.moved.find(job.id);
        shown.number(moved == view.figures.moved.end()
                         ? ""
                         : size_text(static_cast<std::int64_t>(moved->second)));
        shown.number(duration_text(until - begun));
        shown.number(std::to_string(job.retries));
        shown.rows += "</tr>\n";
    }
    return section(shown,
                   {"Kind", "Database", "State", "Begun", "Moved so far|", "Time|", "Begun again|"},
                   "There was no import or export lately.");
}

}  // namespace

std::string html_escaped(std::string_view text) {
    std::string html;
    for (const char c : text) {
        switch (c) {
            case '&': html += "&amp;"; break;
            case '<': html += "&lt;"; break;
            case '>': html += "&gt;"; break;
            case '"': html += "&quot;"; break;
            case '\'': html += "&#39;"; break;
            default: html += c;
        }
    }
    return html;
}

std::string status_page_policy() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned size = 0;
    EVP_Digest(style.data(), style.size(), digest.data(), &size, EVP_sha256(), nullptr);
    return "default-src 'none'; style-src 'sha256-" + base64(digest.data(), size) +
           "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
}

std::string status_page(const server_view& view) {
    std::string html =
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<title>bitdotio</title>\n<style>";
    html += style;
    html +=
        "</style></head><body>\n<h1>bitdotio</h1>\n<p>Version " BITDOTIO_VERSION ", running for ";
    html += duration_text(view.now - view.started) + "; " + page_time(view.now) + ".</p>\n";
    html += about_databases(view) + about_connections(view) + about_jobs(view);
    return html + "</body></html>\n";
}

}  // namespace bitdotio
