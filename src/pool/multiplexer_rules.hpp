// Which statements may share a connection, and which of several shared ones takes the next.
#pragma once

#include <bitdotio/statement.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace bitdotio {

/// Whether a text is one that reads or changes rows, and leaves nothing behind in its session. What
/// begins or ends transactions, changes the session, defines, copies, streams or locks is not.
bool may_share_connection(std::string_view sql) noexcept;

/// The first look at that, which costs next to nothing: whether it is worth asking.
bool begins_shareable(const statement& sql) noexcept;

/// What was found about texts, which are asked about again and again.
///
/// Thread safety: none.
class shareable_texts {
public:
    /// Parameters: `most` are remembered; longer ones than `longest` are not.
    explicit shareable_texts(std::size_t most = 1024, std::size_t longest = 16 * 1024)
        : most_(most), longest_(longest) {}

    bool may_share(const std::string& sql) {
        if (sql.size() > longest_) {
            return may_share_connection(sql);
        }
        if (const auto known = found_.find(sql); known != found_.end()) {
            return known->second;
        }
        if (found_.size() >= most_) {
            found_.clear();
        }
        return found_.emplace(sql, may_share_connection(sql)).first->second;
    }
    std::size_t size() const noexcept { return found_.size(); }

private:
    const std::size_t most_;
    const std::size_t longest_;
    std::unordered_map<std::string, bool> found_;
};

/// How statements spread over the connections that they share.
///
/// Thread safety: a value.
struct multiplexer_rules {
    using time_point = std::chrono::steady_clock::time_point;

    /// A connection whose oldest statement has waited for longer takes no more: those behind it
    /// would wait as well.
    static constexpr std::chrono::milliseconds slow_head{50};
    /// With so many in flight on each another connection is opened, up to the most.
    static constexpr std::size_t enough_for_one = 16;
    /// A connection that nobody has used for this time goes back to the pool.
    static constexpr std::chrono::milliseconds linger{100};
    /// After this time it goes back to the pool in any case, which may close it for its age.
    static constexpr std::chrono::milliseconds longest_lease{30'000};
    /// A connection whose oldest statement has waited for longer, while nobody waits for it or for
    /// any other there, is cut.
    static constexpr std::chrono::milliseconds deserted{1'000};

    /// What is known of a connection.
    struct line {
        std::size_t in_flight = 0;
        bool takes_more = true;
        std::optional<time_point> head_since{};
    };

    std::size_t connections = 1;
    std::size_t in_flight = 1;

    bool takes(const line& one, time_point now) const {
        return one.takes_more && one.in_flight < in_flight &&
               (!one.head_since || now - *one.head_since <= slow_head);
    }

    /// The connection with the least in flight of those that take one more.
    std::optional<std::size_t> choose(const std::vector<line>& lines, time_point now) const {
        std::optional<std::size_t> best;
        for (std::size_t i = 0; i < lines.size(); ++i) {
            if (takes(lines[i], now) && (!best || lines[i].in_flight < lines[*best].in_flight)) {
                best = i;
            }
        }
        return best;
    }

    /// Whether one more is to be opened.
    ///
    /// Parameters: `opening` are under way; `waiting` statements are on no connection.
    bool wants_another(const std::vector<line>& lines, std::size_t opening, std::size_t waiting,
                       time_point now) const {
        const auto lives = static_cast<std::size_t>(
            std::count_if(lines.begin(), lines.end(), [](const line& l) { return l.takes_more; }));
        if (opening > 0 || lives >= connections) {
            return false;  // one at a time: the pool opens more when it finds the server awake
        }
        return waiting > 0 ||
               (lives > 0 && std::none_of(lines.begin(), lines.end(), [&](const line& l) {
                    return takes(l, now) && l.in_flight < enough_for_one;
                }));
    }
};

}  // namespace bitdotio
