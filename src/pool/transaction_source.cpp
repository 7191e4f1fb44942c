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
class transaction_source : public std::enable_shared_from_this<transaction_source> {
public:
    transaction_source(std::shared_ptr<pool_core> core, transaction_options options,
                       time_point until, std::source_location where)
        : begin_(options.begin_statement()),
          options_(std::move(options)),
          all_(std::move(core), true, until, where) {}

    asio::awaitable<transaction> open() {
        const auto self = shared_from_this();
        transaction_start first = co_await start();
        transaction_restart again;
        if (first.deferred) {
            again = [self](error failure, time_point until) {
                return self->start_again(failure, until);
            };
        }
        co_return transaction(outermost(std::move(first), options_.resolvable, std::move(again)));
    }

private:
    asio::awaitable<transaction_start> start() {
        const auto self = shared_from_this();
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
    asio::awaitable<transaction_start> start_again(const error& failure, time_point until) {
        if (until < all_.deadline()) {
            all_.set_deadline(until);
        }
        all_.go_on(failure, nullptr);
        return pause_and_start();
    }

    asio::awaitable<transaction_start> pause_and_start() {
        const auto self = shared_from_this();
        co_await all_.pause();
        co_return co_await start();
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
    co_return co_await source->open();
}

}  // namespace bitdotio
