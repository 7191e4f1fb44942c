// Finds the parts of an XLSX file, which may have any names.
#pragma once

#include "server/formats/import_limits.hpp"
#include "server/formats/xlsx_texts.hpp"
#include "server/formats/zip_xml.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdotio {

/// The value of an attribute; empty if there is none.
template <class Attributes>
std::string_view attribute(const Attributes& values, std::string_view wanted) {
    for (const auto& [name, value] : values) {
        if (name == wanted) return value;
    }
    return {};
}

/// The relations of a part to others. Call `read_all` first.
///
/// See: ECMA-376, Part 2, 9.3.
class xlsx_relations final : public zip_xml {
public:
    /// Parameters: `part` is "xl/workbook.xml" or the like; empty for the whole file.
    xlsx_relations(input_handle file, const std::string& part)
        : zip_xml(std::move(file),
                  folder_of(part) + "_rels/" + part.substr(folder_of(part).size()) + ".rels"),
          folder_(folder_of(part)) {}

    /// The part of a relation; empty if there is none.
    std::string target(const std::string& id) const {
        const auto found = targets_.find(id);
        return found == targets_.end() ? std::string() : found->second;
    }

    /// The first part of a type, such as "styles"; else `usual`.
    std::string of_type(const std::string& type, const char* usual) const {
        const auto found = types_.find(type);
        return found == types_.end() ? std::string(usual) : found->second;
    }

private:
    static std::string folder_of(const std::string& part) {
        return part.substr(0, part.rfind('/') + 1);  // npos + 1 is 0
    }

    void begin_element(std::string_view name, const attributes& values) override {
        if (name != "Relationship" || targets_.size() > 4 * most_sheets) return;
        if (attribute(values, "TargetMode") == "External") return;
        constexpr std::size_t longest = 1'024;
        const std::string_view id = attribute(values, "Id");
        const std::string_view target = attribute(values, "Target");
        const std::string_view type = attribute(values, "Type");
        if (target.size() > longest || id.size() > longest || type.size() > longest) {
            throw malformed_xlsx("it refers to a part by a name of more than 1,024 bytes");
        }
        const std::string part = resolved(target);
        targets_[std::string(id)] = part;
        if (!type.empty()) types_.emplace(type.substr(type.rfind('/') + 1), part);
    }
    void end_element(std::string_view) override {}
    void characters(std::string_view) override {}

    // A target is relative to the folder of its part, or begins with "/".
    std::string resolved(std::string_view target) const {
        const std::string whole =
            target.starts_with('/') ? std::string(target) : folder_ + std::string(target);
        std::vector<std::string> steps;
        for (std::size_t begin = 0; begin <= whole.size();) {
            const std::size_t end = std::min(whole.find('/', begin), whole.size());
            const std::string step = whole.substr(begin, end - begin);
            if (step == "..") {
                if (!steps.empty()) steps.pop_back();
            } else if (!step.empty() && step != ".") {
                steps.push_back(step);
            }
            begin = end + 1;
        }
        std::string part;
        for (const std::string& each : steps)
            part += (part.empty() ? "" : "/") + each;
        return part;
    }

    const std::string folder_;
    std::map<std::string, std::string> targets_;
    std::map<std::string, std::string> types_;
};

}  // namespace bitdotio
