// Asks the server, once, what the types in an answer are.
#include "postgres/postgres_session.hpp"

namespace bitdotio {

// The statement has run: whatever happens here is not its failure. A type that stays unknown is
// refused by its reader where it would have to guess.
asio::awaitable<void> postgres_session::tell_types(std::vector<result*> answers,
                                                   std::chrono::milliseconds timeout) {
    const std::vector<oid> missing = types_.missing_in(answers);
    const bool well = conn_ && (PQtransactionStatus(conn_.get()) == PQTRANS_IDLE ||
                                PQtransactionStatus(conn_.get()) == PQTRANS_INTRANS);
    if (!missing.empty() && well) {
        const statement question =
            type_book::question(PQserverVersion(conn_.get())).timeout(timeout);
        const params which = type_book::question_values(missing);
        try {
            co_await exchange(question, which, kind::extended, phase::awaiting_reply);
            const result answer = report_.take_last_answer();
            types_.learn(missing, answer);
        } catch (const error&) {  // told above
        }
    }
    types_.tell(answers);
}

}  // namespace bitdotio
