// The words that begin a transaction.
#include <bitdotio/error.hpp>
#include <bitdotio/transaction_options.hpp>

namespace bitdotio {

std::string transaction_options::begin_statement() const {
    if (deferrable && (isolation != isolation_level::serializable || read_only != true)) {
        throw error(errc::bad_input,
                    "transaction_options::deferrable has a meaning only where isolation is "
                    "serializable and read_only is true")
            .with(outcome::not_sent);
    }
    std::string text = "BEGIN";
    if (isolation) {
        switch (*isolation) {
            case isolation_level::read_committed: text += " ISOLATION LEVEL READ COMMITTED"; break;
            case isolation_level::repeatable_read:
                text += " ISOLATION LEVEL REPEATABLE READ";
                break;
            case isolation_level::serializable: text += " ISOLATION LEVEL SERIALIZABLE"; break;
        }
    }
    if (read_only) {
        text += *read_only ? " READ ONLY" : " READ WRITE";
    }
    if (deferrable) {
        text += " DEFERRABLE";
    }
    return text;
}

}  // namespace bitdotio
