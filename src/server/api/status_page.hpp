// The status page: a view of the server as HTML that needs no script. A pure rule.
#pragma once

#include "server/api/overview.hpp"

#include <string>
#include <string_view>

namespace bitdotio {

/// The page. Everything that people named is escaped.
std::string status_page(const server_view& view);

/// The page's Content-Security-Policy: nothing is loaded, run, framed or sent; its only style sheet
/// is in the page and named by its hash.
std::string status_page_policy();

/// Text escaped for HTML, within elements and quoted attributes.
std::string html_escaped(std::string_view text);

}  // namespace bitdotio
