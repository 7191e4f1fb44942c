// Many rows by libpq; each function gives the sum over them, see bench::weight.
#pragma once

#include "libpq_channel.hpp"

namespace bench {

std::uint64_t stream_rows(channel& one);
std::uint64_t copy_rows_out(channel& one);
std::uint64_t copy_rows_in(channel& one);

}  // namespace bench
