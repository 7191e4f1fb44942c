// Counts the extensions of the chunks of an HTTP body.
#pragma once

#include <boost/system/errc.hpp>
#include <boost/system/error_code.hpp>

#include <cstddef>
#include <cstdint>

namespace bitdotio {

/// Ends a body whose chunks' extensions are longer together than they may be: a callback for
/// Beast, which puts no limit on them. Nobody needs any.
///
/// Errors: the code of boost::system::errc::message_size.
/// Thread safety: one thread at a time.
/// Lifetime: must outlive the parser it is given to.
class chunk_extensions {
public:
    /// All of a body together.
    static constexpr std::size_t most = 16 * 1024;

    static bool is_excess(const boost::system::error_code& failure) noexcept {
        return failure == boost::system::errc::message_size;
    }

    template <class Text>
    void operator()(std::uint64_t, const Text& extensions,
                    boost::system::error_code& failure) noexcept {
        seen_ += extensions.size();
        if (seen_ > most) failure = make_error_code(boost::system::errc::message_size);
    }

private:
    std::size_t seen_ = 0;
};

}  // namespace bitdotio
