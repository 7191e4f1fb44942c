// Asks the server, once, what the types in an answer are.
#include "postgres/postgres_exchange.hpp"

namespace bitdotio {

// The statement has run: whatever happens here is not its failure. A type that stays unknown is
// refused by its reader where it would have to guess.
asio::awaitable<void> postgres_exchange::tell_types(std::vector<result*> answers,
                                                    std::chrono::milliseconds timeout) {
    const std::vector<oid> missing = types_.missing_in(answers);
    const auto state = PQtransactionStatus(wire_.conn());
    const bool well = state == PQTRANS_IDLE || state == PQTRANS_INTRANS;
    if (!missing.empty() && well) {
        const statement question =
            type_book::question(PQserverVersion(wire_.conn())).timeout(timeout);
        const params which = type_book::question_values(missing);
        try {
            co_await ask(question, which, kind::extended, phase::awaiting_reply);
            const result answer = report_.take_last_answer();
            types_.learn(missing, answer);
        } catch (const error&) {  // told above
        }
    }
    types_.tell(answers);
}

}  // namespace bitdotio
