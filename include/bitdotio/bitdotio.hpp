// Includes everything that a user of the service needs; the local server has its own header.
#pragma once

#include <bitdotio/api_key.hpp>
#include <bitdotio/client.hpp>
#include <bitdotio/client_options.hpp>
#include <bitdotio/connect_options.hpp>
#include <bitdotio/database_name.hpp>
#include <bitdotio/error.hpp>
#include <bitdotio/jobs.hpp>
#include <bitdotio/models.hpp>
#ifndef BITDOTIO_WITHOUT_POSTGRES
#include <bitdotio/connection.hpp>
#include <bitdotio/copy.hpp>
#include <bitdotio/cursor.hpp>
#include <bitdotio/listener.hpp>
#include <bitdotio/named.hpp>
#include <bitdotio/params.hpp>
#include <bitdotio/pipeline.hpp>
#include <bitdotio/pool.hpp>
#include <bitdotio/pool_options.hpp>
#include <bitdotio/quoting.hpp>
#include <bitdotio/resolve_commit.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/retry_transaction.hpp>
#include <bitdotio/row_stream.hpp>
#include <bitdotio/statement.hpp>
#include <bitdotio/transaction.hpp>
#include <bitdotio/types.hpp>
#endif
