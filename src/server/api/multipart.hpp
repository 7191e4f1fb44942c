// Parses multipart/form-data while it arrives. No I/O.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace bitdotio {

/// Reads a form part by part, however the bytes are cut.
///
/// Derive from it to receive the parts.
///
/// See: RFC 7578; RFC 2046, 5.1 "Multipart Media Type".
class multipart {
public:
    /// Errors: errc::bad_input if the Content-Type has no valid boundary.
    explicit multipart(std::string_view content_type);
    virtual ~multipart() = default;
    multipart(const multipart&) = delete;
    multipart& operator=(const multipart&) = delete;

    /// Takes further bytes.
    ///
    /// Errors: errc::bad_input for what is not a form; what the functions below throw.
    void feed(std::string_view piece);

    /// Errors: errc::bad_input if the form has not come to its end.
    void finish() const;

protected:
    /// Begins a part. It has a `file_name` if it is a file.
    virtual void begin_part(const std::string& name,
                            const std::optional<std::string>& file_name) = 0;
    /// Takes further bytes of the part that began last.
    virtual void part_data(std::string_view piece) = 0;

private:
    enum class state { before, after_boundary, headers, content, over };

    bool step();
    bool read_boundary_line();
    void read_headers(std::string_view block);
    std::string_view unread() const { return std::string_view(buffer_).substr(taken_); }

    std::string delimiter_;  ///< "\r\n--" and the boundary
    std::string buffer_ = "\r\n";
    std::size_t taken_ = 0;  ///< of the buffer; it goes once for each piece, not for each part
    state state_ = state::before;
    state before_boundary_ = state::before;
};

/// Reads an application/x-www-form-urlencoded form: calls `field` with each name and value.
template <class Visit>
void read_urlencoded(std::string_view body, Visit field);

/// Decodes one name or value of such a form.
std::string form_decoded(std::string_view text);

template <class Visit>
void read_urlencoded(std::string_view body, Visit field) {
    while (!body.empty()) {
        const std::size_t end = body.find('&');
        const std::string_view pair = body.substr(0, end);
        const std::size_t mark = pair.find('=');
        if (!pair.empty()) {
            field(form_decoded(pair.substr(0, mark)), mark == std::string_view::npos
                                                          ? std::string()
                                                          : form_decoded(pair.substr(mark + 1)));
        }
        body.remove_prefix(end == std::string_view::npos ? body.size() : end + 1);
    }
}

}  // namespace bitdotio
