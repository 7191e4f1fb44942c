// Reads the XML parts of a zip archive, piece by piece and with limits.
#pragma once

#include "server/formats/input_file.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdotio {

/// Reads one part of an archive, element by element. Derive from it to handle the elements.
///
/// Input that expands too much is refused: document types and their entities, parts that unpack to
/// more than 4 GiB or (above 64 MiB) five hundred times their size, elements
/// nested more than 100 deep, tags and other markup of more than 256 KiB.
///
/// Errors: its functions throw errc::bad_input. They block.
/// Thread safety: one thread at a time.
class zip_xml {
public:
    /// Parameters: `part` is its path within the archive.
    zip_xml(input_handle archive, const std::string& part);
    virtual ~zip_xml();
    zip_xml(const zip_xml&) = delete;
    zip_xml& operator=(const zip_xml&) = delete;

    /// Whether the archive has the part. If not, there are no elements.
    bool exists() const noexcept { return exists_; }

    /// Reads the next piece, or as far as `pause` says; false at the end.
    bool step();
    void read_all() {
        while (step()) {
        }
    }

protected:
    using attributes = std::vector<std::pair<std::string_view, std::string_view>>;

    // Names come without their namespaces. An exception from these ends the reading.
    virtual void begin_element(std::string_view name, const attributes& values) = 0;
    virtual void end_element(std::string_view name) = 0;
    virtual void characters(std::string_view text) = 0;

    /// Ends the step after the element that is being handled, so that its reader can take what it
    /// has before there is more; may be called by `end_element`.
    void pause() noexcept;

private:
    struct impl;
    std::unique_ptr<impl> impl_;
    bool exists_ = false;
};

}  // namespace bitdotio
