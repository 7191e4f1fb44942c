// One query of the HTTP API, run by our own connection over the instance's Unix socket.
#pragma once

#include <bitdotio/models.hpp>

#include <boost/asio/awaitable.hpp>

#include <string>

namespace bitdotio {

namespace asio = boost::asio;

/// Runs the statements in one implicit transaction; the last one's rows are the answer.
///
/// Parameters: `socket_directory` of an instance that stays awake meanwhile.
/// Errors: those of connection::open and connection::script.
asio::awaitable<query_result> run_query(std::string socket_directory, std::string sql);

}  // namespace bitdotio
