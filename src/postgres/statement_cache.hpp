// Which statements a connection keeps prepared: those used twice, the last used ones of them.
#pragma once

#include <bitdotio/types.hpp>

#include "postgres/failure.hpp"
#include "postgres/statement_words.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace bitdotio {

/// Decides for each statement of one connection whether it is prepared, and under which name.
///
/// Thread safety: none; it belongs to its session.
class statement_cache {
public:
    enum class action {
        unnamed,   ///< Parse it and forget it.
        prepare,   ///< Prepare it under the name, then run it.
        prepared,  ///< Run what is prepared under the name.
    };

    struct plan {
        action what = action::unnamed;
        std::string name{};
        std::size_t parts = 1;  ///< with preparing it, and with each eviction that goes ahead
        bool infers = false;    ///< whether the server chose the type of a parameter
        /// What its words say, if that is known without looking through them.
        std::optional<statement_facts> known{};

        /// As one that was just made, but for the memory of its name.
        void clear() noexcept {
            what = action::unnamed;
            name.clear();
            parts = 1;
            infers = false;
            known.reset();
        }
    };

    using time_point = std::chrono::steady_clock::time_point;

    /// How long a statement stays prepared whose parameters the server gave their types. Until
    /// then a column that another session gave another type takes values of the former one.
    static constexpr std::chrono::seconds inferred_types_life{1};

    /// Whether one of the parameters has no type of its own, so that the server infers one.
    static bool infers(const std::vector<oid>& types) noexcept {
        for (const oid type : types) {
            if (type == 0) {
                return true;
            }
        }
        return false;
    }

    /// Parameters: `capacity` is how many stay prepared, 0 for none; `max_length` the longest
    ///     statement kept, in bytes; `prefix` begins the names, and should be no other session's:
    ///     behind a pooler they share a server connection.
    statement_cache(std::size_t capacity, std::size_t max_length, std::string prefix)
        : capacity_(capacity), max_length_(max_length), prefix_(std::move(prefix)) {}

    /// What to do about a statement now. `prepare` counts as done, until `forget` says otherwise.
    ///
    /// Parameters: `now` is looked at where the server infers types.
    plan look_up(std::string_view sql, const std::vector<oid>& types, time_point now = {}) {
        plan found;
        look_up(sql, types, now, found);
        return found;
    }
    /// The same into a plan that was cleared.
    void look_up(std::string_view sql, const std::vector<oid>& types, time_point now,
                 plan& answer) {
        if (capacity_ == 0 || sql.size() > max_length_) {
            return;
        }
        key_.assign(sql);
        key_.push_back('\0');
        key_.append(reinterpret_cast<const char*>(types.data()), types.size() * sizeof(oid));
        if (const auto known = by_key_.find(key_); known != by_key_.end()) {
            entries_.splice(entries_.begin(), entries_, known->second);
            entry& found = entries_.front();
            const bool known_types = !found.infers || now < found.inferred + inferred_types_life;
            answer.infers = found.infers;
            answer.known = found.facts;
            if (!found.name.empty() && known_types) {
                answer.what = action::prepared;
                answer.name.assign(found.name);
                return;
            }
            if (!found.name.empty()) {
                evicted_.push_back(std::move(found.name));
                --prepared_;
            }
            found.name = prefix_ + std::to_string(++count_);
            found.inferred = now;
            ++prepared_;
            shrink();
            answer.what = action::prepare;
            answer.name.assign(found.name);
            answer.parts = evicted_.size() + 2;
            return;
        }
        entries_.push_front({key_, {}, infers(types), {}, facts_of(sql)});
        by_key_.emplace(entries_.front().key, entries_.begin());
        answer.known = entries_.front().facts;
        shrink();
    }

    /// The names of evicted statements, which the server may forget too. Given out once.
    std::vector<std::string> take_evicted() { return std::exchange(evicted_, {}); }
    std::size_t evicted() const noexcept { return evicted_.size(); }

    /// A name that did not get prepared, or that the server no longer knows or accepts.
    void forget(std::string_view name) {
        for (auto one = entries_.begin(); one != entries_.end(); ++one) {
            if (one->name == name) {
                erase(one);
                return;
            }
        }
    }

    /// The same for a name that the server still knows and may forget.
    void evict(std::string_view name) {
        if (knows(name)) {  // else it was told to forget it already
            evicted_.emplace_back(name);
            forget(name);
        }
    }

    /// What the server inferred may be wrong from now on: the names it has are not used again.
    void forget_inferred() {
        for (auto one = entries_.begin(); one != entries_.end();) {
            const auto next = std::next(one);
            if (one->infers && !one->name.empty()) {
                evicted_.push_back(one->name);
                erase(one);
            }
            one = next;
        }
    }

    /// The server has forgotten everything: DEALLOCATE ALL, DISCARD ALL.
    void clear() {
        by_key_.clear();
        entries_.clear();
        evicted_.clear();
        prepared_ = 0;
    }

    /// What a refusal says about the statement that was planned. True if it was refused for being
    /// prepared alone, and provably did nothing.
    ///
    /// Parameters: `was_prepared` whether the server had prepared it by then.
    bool refused(const plan& what, plan_verdict found, bool was_prepared) {
        if (what.what == action::unnamed) {
            return false;
        }
        if (found == plan_verdict::missing) {
            // One of several that were sent with it was refused before, and told.
            if (was_prepared && !knows(what.name)) {
                return true;
            }
            // Somebody deallocated it, or a pooler gave us another server connection: then
            // preparing would go on failing.
            clear();
            if (++strangers_ == 2) {
                disable();
            }
            return true;
        }
        if (!was_prepared) {
            forget(what.name);
            return false;
        }
        const bool suspect = found == plan_verdict::suspect ||
                             (found == plan_verdict::suspect_of_values && what.infers);
        if (found == plan_verdict::outdated) {
            evict(what.name);
            return true;
        }
        if (suspect && what.what == action::prepared) {  // not of what was understood just now
            evict(what.name);
            return true;
        }
        return false;
    }

    /// From now on nothing is prepared.
    void disable() {
        clear();
        capacity_ = 0;
    }

    std::size_t prepared() const noexcept { return prepared_; }

private:
    struct entry {
        std::string key;
        std::string name;     // empty while it was used only once
        bool infers;          // whether the server chose the type of a parameter
        time_point inferred;  // and when it did
        statement_facts facts;
    };
    using list = std::list<entry>;

    bool knows(std::string_view name) const {
        return std::any_of(entries_.begin(), entries_.end(),
                           [name](const entry& one) { return one.name == name; });
    }

    void erase(list::iterator one) {
        prepared_ -= !one->name.empty();
        by_key_.erase(one->key);
        entries_.erase(one);
    }

    // Of those used once as many are remembered again, or a flood of them would evict the others
    // before they come back.
    void shrink() {
        while (prepared_ > capacity_) {
            drop_last(true);
        }
        while (entries_.size() - prepared_ > capacity_) {
            drop_last(false);
        }
    }

    void drop_last(bool is_prepared) {
        auto one = entries_.end();
        do {
            --one;
        } while (one->name.empty() == is_prepared);
        if (is_prepared) {
            evicted_.push_back(one->name);
        }
        erase(one);
    }

    std::size_t capacity_;
    std::size_t max_length_;
    std::string prefix_;
    std::uint64_t count_ = 0;
    std::size_t prepared_ = 0;
    int strangers_ = 0;  // statements that somebody else took away
    list entries_;       // the last used first
    std::unordered_map<std::string_view, list::iterator> by_key_;  // views of the entries' keys
    std::vector<std::string> evicted_;
    std::string key_;
};

}  // namespace bitdotio
