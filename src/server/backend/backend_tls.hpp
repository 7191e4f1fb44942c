// Sets up the gateway's TLS to a backend: what it trusts and what it shows.
#pragma once

#include <bitdotio/connect_options.hpp>

#include <memory>

namespace boost::asio::ssl {
class context;
}

namespace bitdotio {

/// Reads the files that the options name; returns null without TLS. Each session checks whom the
/// certificate must name. It blocks.
///
/// Errors: errc::bad_input naming the file that cannot be read.
std::shared_ptr<boost::asio::ssl::context> make_backend_tls(const connect_options& options);

}  // namespace bitdotio
