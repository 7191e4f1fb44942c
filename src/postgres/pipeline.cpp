// What became of each statement.
#include <bitdotio/pipeline.hpp>

#include <algorithm>
#include <utility>

namespace bitdotio {

const pipeline_results::entry& pipeline_results::at(std::size_t index) const {
    if (index >= entries_.size()) {
        throw error(errc::unexpected_shape,
                    "there is no statement " + std::to_string(index) + " in a pipeline of " +
                        std::to_string(entries_.size()) + "; they count from 0");
    }
    return entries_[index];
}

const result& pipeline_results::operator[](std::size_t index) const& {
    const entry& wanted = at(index);
    if (wanted.failure) {
        throw *wanted.failure;
    }
    return wanted.answer;
}

result pipeline_results::operator[](std::size_t index) && {
    (void)std::as_const(*this)[index];
    return std::move(entries_[index].answer);
}

const error* pipeline_results::failure(std::size_t index) const& {
    const entry& wanted = at(index);
    return wanted.failure ? &*wanted.failure : nullptr;
}

std::optional<error> pipeline_results::failure(std::size_t index) && {
    return at(index).failure;
}

bool pipeline_results::succeeded() const noexcept {
    return std::none_of(entries_.begin(), entries_.end(),
                        [](const entry& one) { return one.failure.has_value(); });
}

}  // namespace bitdotio
