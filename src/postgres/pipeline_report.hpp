// Which answer belongs to which statement of a pipeline, and what became of each.
#pragma once

#include <bitdotio/pipeline.hpp>

#include "postgres/libpq.hpp"
#include "postgres/statement_cache.hpp"
#include "postgres/statement_report.hpp"

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

namespace bitdotio {

/// How far a pipeline has come. Answers of a statement end with its sync, or, where there is one
/// sync for all, with the NULLs of its parts: libpq counts preparing and evicting as statements
/// too.
///
/// Thread safety: none; it belongs to its session.
class pipeline_report {
public:
    /// Parameters: `report` is the session's, of the pipeline as a whole.
    pipeline_report(const pipeline& batch, statement_report& report);

    /// A statement has been handed to libpq.
    ///
    /// Parameters: `said` is what its words say, `synced` whether the sync of its unit was, too.
    void note_sent(const statement_facts& said, statement_cache::plan plan, bool synced);

    /// A refused statement as its statement_cache must know it.
    struct refusal {
        statement_cache::plan plan;
        bool was_prepared;
        server_message said;
    };
    /// Takes an answer, null at the end of each part.
    ///
    /// Parameters: `broken` whether the connection is: libpq's own words about that are no answer.
    std::optional<refusal> add(libpq::result answer, bool broken);

    /// The same for a refusal, in the server's words.
    std::optional<refusal> refuse(server_message said);

    /// Whether it can be stopped on the server. Half of one with a single sync can only be cut: its
    /// sync would commit it.
    bool is_stoppable() const noexcept { return sync_each_ || synced_; }

    /// What became of each statement. What is not answered is said too.
    ///
    /// Parameters: `interrupted` is why it was stopped, `cut` how its connection ended.
    pipeline_results finish(const std::optional<error>& interrupted,
                            const std::optional<error>& cut);

private:
    using entry = pipeline_results::entry;

    std::optional<refusal> skipped() const;
    void end_unit();
    void settle(std::size_t index, const std::optional<error>& interrupted,
                const std::optional<error>& cut);

    const pipeline& batch_;
    statement_report& report_;
    const bool sync_each_;
    std::vector<entry> entries_;
    std::vector<statement_cache::plan> plans_;      ///< of each statement sent
    std::size_t answered_ = 0;                      ///< statements whose answers are complete
    std::size_t parts_answered_ = 0;                ///< of the one being answered
    std::optional<std::size_t> failed_;             ///< the first that was refused
    std::optional<server_message> failed_at_sync_;  ///< all of it, when it was to be committed
    bool synced_ = false;                           ///< the end of what was sent so far is marked
    bool commit_sent_ = false;                      ///< a COMMIT was, which waits for no sync
    bool complete_ = false;
};

}  // namespace bitdotio
