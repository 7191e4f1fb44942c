// The tries of beginning one transaction.
#include "pool/transaction_source.hpp"

#include "pool/pool_attempts.hpp"
#include "postgres/postgres_session.hpp"
#include "postgres/transaction_scope.hpp"

#include <string>
#include <utility>

namespace bitdotio {

namespace {

// A transaction that has not begun may begin again: it changes nothing.
class transaction_source {
public:
    transaction_source(std::shared_ptr<pool_core> core, transaction_options options,
                       time_point until, std::source_location where)
        : begin_(options.begin_statement()),
          options_(std::move(options)),
          all_(std::move(core), true, until, where) {}

    asio::awaitable<transaction_start> start() {
        while (true) {
            {
                const auto lent = std::make_shared<pooled_connection>();
                try {
                    *lent = co_await all_.lend();
                    transaction_start on;
                    on.session = (*lent)->session();
                    on.lease = lent;
                    on.deferred =
                        may_defer(options_, *on.session) && on.session->begin_first(begin_);
                    if (!on.deferred) {
                        statement limited(begin_);
                        if (options_.begin_timeout) {
                            limited.timeout(*options_.begin_timeout);
                        }
                        all_.limit(limited);
                        co_await (*lent)->script(std::move(limited));
                    }
                    co_return on;
                } catch (...) {
                    all_.go_on(current_failure(), nullptr);
                }
            }
            co_await all_.pause();
        }
    }

    // Not a coroutine: it decides, and throws, before anything is awaited.
    static asio::awaitable<transaction_start> start_again(std::shared_ptr<transaction_source> self,
                                                          const error& failure, time_point until) {
        if (until < self->all_.deadline()) {
            self->all_.set_deadline(until);
        }
        self->all_.go_on(failure, nullptr);
        return pause_and_start(std::move(self));
    }

    bool is_resolvable() const noexcept { return options_.resolvable; }

private:
    static asio::awaitable<transaction_start> pause_and_start(
        std::shared_ptr<transaction_source> self) {
        co_await self->all_.pause();
        co_return co_await self->start();
    }

    const std::string begin_;
    const transaction_options options_;
    pool_attempts all_;
};

}  // namespace

asio::awaitable<transaction> begin_on(std::shared_ptr<pool_core> core, transaction_options options,
                                      time_point until, std::source_location where) {
    const auto source =
        std::make_shared<transaction_source>(std::move(core), std::move(options), until, where);
    transaction_start first = co_await source->start();
    transaction_restart again;
    if (first.deferred) {
        again = [source](const error& failure, time_point restart_until) {
            return transaction_source::start_again(source, failure, restart_until);
        };
    }
    co_return transaction(outermost(std::move(first), source->is_resolvable(), std::move(again)));
}

}  // namespace bitdotio
