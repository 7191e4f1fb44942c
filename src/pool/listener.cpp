// The listener and its session, on one strand: the stream is pulled, never pushed.
#include <bitdotio/listener.hpp>

#include "base/async_semaphore.hpp"
#include "base/deadline.hpp"
#include "base/fork_guard.hpp"
#include "postgres/connector.hpp"
#include "postgres/failure.hpp"
#include "postgres/postgres_session.hpp"

#include <boost/asio/strand.hpp>

#include <deque>
#include <set>

namespace bitdotio {

namespace {

// The length of a name in PostgreSQL, which cuts off more in LISTEN and refuses it in NOTIFY.
constexpr std::size_t longest_name = 63;

// Tries of a statement whose connection turns out to be dead: it may have died long ago.
constexpr int most_tries = 3;

std::string listened_name(const std::string& name) {
    std::string result = "\"";
    for (const char c : name) {
        result += c == '"' ? "\"\"" : std::string(1, c);
    }
    return result + "\"";
}

void check_channel(const std::string& channel) {
    if (channel.empty() || channel.size() > longest_name ||
        channel.find('\0') != std::string::npos) {
        throw error(errc::bad_input,
                    "the name of a channel must have 1 to 63 bytes, none of them "
                    "zero; this one has " +
                        std::to_string(channel.size()));
    }
}

error closed_error() {
    return error(errc::connection_lost, "the listener is closed").with(outcome::not_sent);
}

}  // namespace

class listener::core : public std::enable_shared_from_this<listener::core> {
public:
    using strand = asio::strand<asio::any_io_executor>;

    // The sessions' strands are built on this one, so that what runs here runs beside none of them.
    core(asio::any_io_executor executor, connect_options options)
        : strand_(asio::make_strand(executor)),
          connector_(strand_, std::move(options)),
          arrived_(strand_, no_deadline) {}

    const strand& home() const { return strand_; }
    bool is_here() const noexcept { return birth_.is_here(); }

    template <class T>
    asio::awaitable<T> at_home(asio::awaitable<T> operation) {
        birth_.check_same_process("the listener");
        return on_strand(strand_, shared_from_this(), std::move(operation));
    }

    asio::awaitable<void> do_listen(std::string channel) {
        const auto self = shared_from_this();  // needed if the executor ends before the operation
        co_await listen_on_server(channel, "LISTEN ");
        channels_.insert(std::move(channel));
        arrived_.cancel();  // makes `next` watch again
    }

    asio::awaitable<void> do_unlisten(std::string channel) {
        const auto self = shared_from_this();
        check_channel(channel);
        if (channels_.erase(channel) > 0 && session_) {
            co_await listen_on_server(channel, "UNLISTEN ");
            arrived_.cancel();
        }
    }

    asio::awaitable<listener_event> do_next() {
        const auto self = shared_from_this();
        co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
        co_await asio::this_coro::throw_if_cancelled(false);
        if (waiting_) {
            throw error(errc::protocol_violated,
                        "another next() of this listener is under way; await it first")
                .with(outcome::not_sent);
        }
        waiting_ = true;
        std::exception_ptr failure;
        try {
            co_await wait_for_event();
        } catch (...) {
            failure = std::current_exception();
        }
        waiting_ = false;
        if (failure) {
            std::rethrow_exception(failure);
        }
        listener_event event = std::move(queue_.front());
        queue_.pop_front();
        co_return event;
    }

    void close() {
        closed_ = true;
        if (session_) {
            session_->close();
            session_.reset();
        }
        arrived_.cancel();
    }

    asio::awaitable<void> do_close() {
        close();
        co_return;
    }

private:
    asio::awaitable<void> wait_for_event() {
        while (queue_.empty()) {
            {
                const auto mine = co_await turn_.enter();
                if (!channels_.empty() || closed_) {
                    co_await be_open();
                }
                if (queue_.empty()) {
                    watch();
                }
            }
            if (!queue_.empty()) {
                co_return;
            }
            boost::system::error_code woken;
            co_await arrived_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
            const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
            if (queue_.empty() && state.cancelled() != asio::cancellation_type::none) {
                throw error(errc::cancelled, "waiting for a notification was cancelled");
            }
        }
    }

    asio::awaitable<void> listen_on_server(std::string channel, std::string verb) {
        co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
        co_await asio::this_coro::throw_if_cancelled(false);
        check_channel(channel);
        const auto mine = co_await turn_.enter();
        for (int tries = 1;; ++tries) {
            co_await be_open();
            try {
                statement change(verb + listened_name(channel));
                co_await session_->run(std::move(change), params());
                co_return;
            } catch (const error& failure) {
                if (failure.code() != errc::connection_lost || tries == most_tries) {
                    throw;
                }
            }
        }
    }

    // Needs the turn. A listener that was connected before and is again learns of the gap.
    asio::awaitable<void> be_open() {
        if (session_ && session_->status() == session_status::closed) {
            lose();
        }
        if (session_) {
            co_return;
        }
        if (closed_) {
            throw closed_error();
        }
        const std::shared_ptr<postgres_session> fresh = co_await connector_.open();
        fresh->notifications();  // from here on they are kept
        if (!channels_.empty()) {
            std::string all;
            for (const std::string& channel : channels_) {
                all += "LISTEN " + listened_name(channel) + ";";
            }
            statement again(std::move(all));
            co_await fresh->script(std::move(again));
        }
        if (closed_) {
            fresh->close();
            throw closed_error();
        }
        session_ = fresh;
        if (lost_ && !channels_.empty()) {
            queue_.emplace_back(notification_gap(*lost_));
        }
        lost_.reset();
    }

    // Needs the turn, so that no statement is under way.
    void watch() {
        if (!session_) {
            return;
        }
        std::function<void()> on_event = [weak = weak_from_this(),
                                          origin = std::weak_ptr(session_)] {
            const auto self = weak.lock();
            if (self && self->session_ && self->session_ == origin.lock()) {
                self->take_in();
            }
        };
        if (!session_->watch_notifications(std::move(on_event))) {
            take_in();
        }
    }

    // Takes in notifications; if there are none, the session has ended.
    void take_in() {
        std::vector<notification> fresh = session_->notifications();
        if (fresh.empty()) {
            lose();
        }
        for (notification& one : fresh) {
            if (channels_.contains(one.channel)) {
                queue_.emplace_back(std::move(one));
            }
        }
        arrived_.cancel();
    }

    void lose() {
        if (!lost_) {
            failure_facts facts;
            facts.said = session_->goodbye();
            lost_ = lost_connection(stage::leased, std::move(facts), "the server hung up");
        }
        session_->close();
        session_.reset();
    }

    const fork_guard birth_;
    const strand strand_;
    const connector connector_;
    asio::steady_timer arrived_;  ///< cancelled when `next` has something to look at
    async_semaphore turn_{1};     ///< for what uses the session
    std::shared_ptr<postgres_session> session_;
    std::set<std::string> channels_;
    std::deque<listener_event> queue_;
    std::optional<error> lost_;  ///< why there is no session, after there was one
    bool waiting_ = false;
    bool closed_ = false;
};

listener::listener(asio::any_io_executor executor, connect_options options)
    : core_(make_for_this_process<core>(std::move(executor), std::move(options))) {}

listener& listener::operator=(listener&& other) noexcept {
    listener old(std::move(*this));
    core_ = std::move(other.core_);
    return *this;
}

listener::~listener() {
    if (core_ && core_->is_here()) {
        dispatch_work(core_->home(), [core = core_]() noexcept { core->close(); });
    }
}

asio::awaitable<void> listener::listen(std::string channel) {
    return core_->at_home(core_->do_listen(std::move(channel)));
}

asio::awaitable<void> listener::unlisten(std::string channel) {
    return core_->at_home(core_->do_unlisten(std::move(channel)));
}

asio::awaitable<listener_event> listener::next() {
    return core_->at_home(core_->do_next());
}

asio::awaitable<std::optional<listener_event>> listener::next_within(
    std::chrono::milliseconds timeout) {
    const time_point deadline = from_now(timeout);
    std::optional<listener_event> event;
    try {
        event = co_await with_deadline(next(), deadline);
    } catch (const error& failure) {
        if (failure.code() != errc::timeout) {
            throw;
        }
    }
    co_return event;
}

asio::awaitable<void> listener::close() {
    return core_->at_home(core_->do_close());
}

}  // namespace bitdotio
