// What the first words of a statement say: what it is, and when it commits.
#pragma once

#include <string_view>

namespace bitdotio {

/// The statement's first word as it is written, comments passed over; empty if it begins otherwise.
std::string_view first_word(std::string_view sql) noexcept;

/// Whether the statement ends a transaction by making it permanent, or ready for that: COMMIT, END,
/// PREPARE TRANSACTION, COMMIT PREPARED. If its answer is lost, so is that of the transaction.
bool commits(std::string_view sql) noexcept;

/// Whether a text of several statements may make a transaction permanent; in doubt it may.
bool may_commit(std::string_view script) noexcept;

/// Whether the statement, outside a transaction, may commit a part of what it does before it
/// fails: CALL, DO, VACUUM, CREATE INDEX CONCURRENTLY and the like. Its failure then proves
/// nothing.
bool may_commit_midway(std::string_view sql) noexcept;

}  // namespace bitdotio
