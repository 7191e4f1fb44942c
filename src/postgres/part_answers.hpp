// The answers to the parts that a statement was sent in, of which the last is the statement's.
#pragma once

#include "postgres/libpq.hpp"

#include <cstddef>
#include <utility>

namespace bitdotio {

/// Within a pipeline a statement may be sent in parts: what the server may forget, what it
/// prepares, and the statement itself. Each is answered by itself.
///
/// Thread safety: none.
class part_answers {
public:
    /// Parameters: `parts` were sent, at least one.
    explicit part_answers(std::size_t parts = 1) noexcept : parts_(parts) {}

    /// An answer. False if none is due any more: then answers and statements do not belong
    /// together.
    bool add(libpq::result answer) noexcept {
        if (ended_ >= parts_) {
            return false;
        }
        if (is_at_last()) {  // that it was prepared is no answer to the statement
            answer_ = std::move(answer);
        }
        return true;
    }
    /// All of a part's answer has come.
    void end_part() noexcept { ++ended_; }

    /// Whether all that went before the statement itself was answered.
    bool is_at_last() const noexcept { return ended_ + 1 >= parts_; }
    /// Whether the statement was answered.
    bool is_answered() const noexcept { return answer_ != nullptr; }
    const PGresult* answer() const noexcept { return answer_.get(); }
    libpq::result take_answer() noexcept { return std::move(answer_); }

private:
    std::size_t parts_;
    std::size_t ended_ = 0;
    libpq::result answer_{};
};

}  // namespace bitdotio
