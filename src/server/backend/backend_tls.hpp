// What the gateway's TLS to a backend trusts, and shows of itself.
#pragma once

#include <bitdotio/connect_options.hpp>

#include <memory>

namespace boost::asio::ssl {
class context;
}

namespace bitdotio {

/// Reads the files that the options name; none without TLS. Whom the certificate must name is for
/// each session to check. It blocks.
///
/// Errors: errc::bad_input naming the file that cannot be read.
std::shared_ptr<boost::asio::ssl::context> make_backend_tls(const connect_options& options);

}  // namespace bitdotio
