// What became of each statement.
#include <bitdotio/pipeline.hpp>

#include "postgres/statement_words.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace bitdotio {

pipeline pipeline::as_transaction(statement begin) && {
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        if (leaves_transaction(sql(i).sql())) {
            throw error(errc::bad_input,
                        "statement " + std::to_string(i) +
                            " of the pipeline would end the transaction that all of them are to "
                            "be: leave it out")
                .with(outcome::not_sent);
        }
    }
    texts_.push_back(std::move(begin));
    entries_.insert(entries_.begin(), {texts_.size() - 1, params()});
    add(statement("COMMIT").unprepared());
    sync_ = pipeline_sync::once;
    is_transaction_ = true;
    return std::move(*this);
}

pipeline pipeline::without_ends() && {
    if (is_transaction_) {
        entries_.pop_back();
        entries_.erase(entries_.begin());
        is_transaction_ = false;
    }
    return std::move(*this);
}

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

pipeline_results pipeline_results::without_ends() && {
    if (entries_.size() < 2) {
        return std::move(*this);
    }
    entries_.pop_back();
    entries_.erase(entries_.begin());
    return std::move(*this);
}

}  // namespace bitdotio
