// What a session knows of the types of a database's own, and which of a result it must ask for.
#pragma once

#include <bitdotio/params.hpp>
#include <bitdotio/pipeline.hpp>
#include <bitdotio/result.hpp>
#include <bitdotio/statement.hpp>

#include "postgres/libpq.hpp"
#include "values/known_types.hpp"

#include <memory>
#include <vector>

namespace bitdotio {

/// The types of one session. Numbers of built-in types never change; those of a database's own, and
/// of information_schema, are asked for once.
///
/// Thread safety: none; it belongs to its session.
class type_book {
public:
    /// Types may have been defined anew.
    void forget() noexcept { known_.reset(); }

    /// Whether an answer has columns whose types may have to be asked for.
    static bool concerns(const result& answer);
    static bool concerns(const PGresult* answer);

    /// The types that occur in the answers and are not known yet.
    std::vector<oid> missing_in(const std::vector<result*>& answers) const;

    /// Asks the server's catalog for types, and for all that those are made of.
    ///
    /// Parameters: `server_version` as PQserverVersion gives it.
    static statement question(int server_version);
    static params question_values(const std::vector<oid>& asked);
    /// Takes the answer in. What was asked for and is not in it does not exist.
    void learn(const std::vector<oid>& asked, const result& answer);

    /// What is known; null for nothing.
    const std::shared_ptr<const wire::known_types>& known() const noexcept { return known_; }
    /// Lets the answers be read with what is known.
    void tell(const std::vector<result*>& answers) const;

    /// The results of a pipeline, or others, that are concerned.
    static std::vector<result*> concerned(pipeline_results& all);
    static std::vector<result*> concerned(std::vector<result>& all);

private:
    std::shared_ptr<const wire::known_types> known_;
};

}  // namespace bitdotio
