// Runs two coroutines for each connection, one a direction; both look up the rules at each message.
#include "support/fault_proxy.hpp"

#include "base/deadline.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace test {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

side other(side one) {
    return one == side::frontend ? side::backend : side::frontend;
}

void close(tcp::socket& socket, bool with_reset) {
    error_code ignored;
    if (with_reset) {
        socket.set_option(asio::socket_base::linger(true, 0), ignored);
    } else {
        // Unread bytes would turn the FIN into a RST.
        std::array<char, 4096> room;
        while (socket.available(ignored) > 0 && socket.read_some(asio::buffer(room), ignored) > 0) {
        }
    }
    socket.close(ignored);
}

}  // namespace

struct fault_proxy::link {
    // The bytes of one direction.
    struct way {
        explicit way(side from) : splitter(from) {}
        message_splitter splitter;
        std::string held;
        bool holding = false;
        bool deaf = false;   // bytes are read and dropped
        bool ended = false;  // its sender has finished
        bool was_reset = false;
        bool byte_by_byte = false;
        std::chrono::milliseconds pause{0};
    };

    explicit link(const asio::any_io_executor& executor)
        : sockets{tcp::socket(executor), tcp::socket(executor)} {}

    tcp::socket& from(side who) { return sockets[index(who)]; }
    tcp::socket& to(side who) { return sockets[1 - index(who)]; }
    way& of(side who) { return ways[index(who)]; }

    void close_both(bool with_reset) {
        over = true;
        close(sockets[0], with_reset);
        close(sockets[1], with_reset);
    }

    std::array<tcp::socket, 2> sockets;
    std::array<way, 2> ways{way(side::frontend), way(side::backend)};
    bool is_session = false;
    bool over = false;
};

fault_proxy::fault_proxy(const asio::any_io_executor& executor, std::uint16_t target)
    : executor_(executor), acceptor_(executor), target_(target), changed_(executor) {
    changed_.expires_at(asio::steady_timer::time_point::max());
}

std::shared_ptr<fault_proxy> fault_proxy::start(const asio::any_io_executor& executor,
                                                std::uint16_t target) {
    const std::shared_ptr<fault_proxy> made(new fault_proxy(executor, target));
    made->listen();
    // Its coroutines own it too: it ends when the last copy of the returned pointer is gone.
    return std::shared_ptr<fault_proxy>(made.get(), [made](fault_proxy*) { made->shut(); });
}

void fault_proxy::shut() {
    error_code ignored;
    closed_ = true;
    acceptor_.close(ignored);
    const std::vector<link_ptr> links = links_;
    for (const link_ptr& on : links) {
        on->close_both(true);
    }
}

void fault_proxy::listen() {
    acceptor_ = tcp::acceptor(executor_, tcp::endpoint(asio::ip::address_v4::loopback(), port_));
    port_ = acceptor_.local_endpoint().port();
    asio::co_spawn(executor_, serve(shared_from_this()), asio::detached);
}

void fault_proxy::set(fault_rule rule) {
    rules_.push_back(rule);
}

void fault_proxy::set(admission how) {
    error_code ignored;
    if (how == admission::refuse) {
        acceptor_.close(ignored);
    } else if (admission_ == admission::refuse) {
        listen();
    }
    admission_ = how;
}

awaitable<void> fault_proxy::serve(std::shared_ptr<fault_proxy> self) {
    const tcp::endpoint target(asio::ip::address_v4::loopback(), target_);
    for (;;) {
        const auto made = std::make_shared<link>(executor_);
        error_code failure;
        co_await acceptor_.async_accept(made->from(side::frontend),
                                        asio::redirect_error(asio::use_awaitable, failure));
        if (failure) {
            co_return;  // closed meanwhile
        }
        ++accepted_;
        happened();
        if (admission_ == admission::hang_up) {
            made->close_both(false);
            continue;
        }
        co_await made->from(side::backend)
            .async_connect(target, asio::redirect_error(asio::use_awaitable, failure));
        if (failure || closed_) {
            made->close_both(true);
            continue;
        }
        for (tcp::socket& socket : made->sockets) {
            socket.set_option(tcp::no_delay(true));
        }
        links_.push_back(made);
        if (admission_ == admission::silent) {
            act(*made, side::frontend, fault_action::hold_both);
        }
        asio::co_spawn(executor_, pump(self, made, side::frontend), asio::detached);
        asio::co_spawn(executor_, pump(self, made, side::backend), asio::detached);
    }
}

awaitable<void> fault_proxy::pump(std::shared_ptr<fault_proxy> self, link_ptr on, side from) {
    std::array<char, 16'384> room;
    link::way& way = on->of(from);
    error_code failure;
    while (!on->over) {
        const std::size_t size = co_await on->from(from).async_read_some(
            asio::buffer(room), asio::redirect_error(asio::use_awaitable, failure));
        if (failure) {
            break;
        }
        way.splitter.feed(std::string_view(room.data(), size));
        while (auto message = way.splitter.next()) {
            if (way.splitter.is_opaque()) {
                on->of(other(from)).splitter.stop_reading();
            }
            co_await deliver(*on, from, std::move(*message));
            if (on->over) {
                break;
            }
        }
    }
    if (!on->over) {
        co_await write(*on, from, way.splitter.take_rest());
    }
    end_of(*on, from, failure && failure != asio::error::eof);
    self->happened();
}

void fault_proxy::count(link& on, side from, const wire_message& message) {
    ++seen_[{from, message.type}];
    bytes_[index(from)] += message.bytes.size();
    if (message.type == startup_message) {
        on.is_session = true;
        ++sessions_;
        most_sessions_ = std::max(most_sessions_, sessions_);
    }
    happened();
}

// The oldest rule that hits this message, and how many of its bytes pass before the fault.
std::optional<std::pair<fault_rule, std::size_t>> fault_proxy::due(side from,
                                                                   const wire_message& message) {
    std::optional<std::pair<fault_rule, std::size_t>> hit;
    for (auto rule = rules_.begin(); rule != rules_.end();) {
        bool fires = false;
        std::size_t passing = rule->behind ? message.bytes.size() : 0;
        if (rule->from != from) {
            fires = false;
        } else if (rule->bytes) {
            fires = *rule->bytes < message.bytes.size();
            passing = *rule->bytes;
            *rule->bytes -= std::min(*rule->bytes, message.bytes.size());
        } else if (rule->type == any_message || rule->type == message.type) {
            fires = --rule->nth == 0;
        }
        if (fires && !hit) {
            hit.emplace(*rule, passing);
            rule = rules_.erase(rule);
        } else {
            ++rule;
        }
    }
    return hit;
}

awaitable<void> fault_proxy::deliver(link& on, side from, wire_message message) {
    count(on, from, message);
    const auto hit = due(from, message);
    if (!hit) {
        co_await write(on, from, std::move(message.bytes));
        co_return;
    }
    const auto& [rule, passing] = *hit;
    if (passing > 0) {
        co_await write(on, from, message.bytes.substr(0, passing));
    }
    if (!on.over) {
        ++fired_;
        co_await obey(on, rule);
        happened();
    }
    if (!on.over && passing < message.bytes.size()) {
        co_await write(on, from, message.bytes.substr(passing));
    }
}

awaitable<void> fault_proxy::obey(link& on, const fault_rule& rule) {
    link::way& way = on.of(rule.from);
    switch (rule.act) {
        case fault_action::delay: {
            asio::steady_timer timer(executor_, rule.pause);
            co_await timer.async_wait(asio::use_awaitable);
            break;
        }
        case fault_action::drip:
        case fault_action::slice:
            way.pause = rule.pause;
            way.byte_by_byte = rule.act == fault_action::drip;
            break;
        default: act(on, rule.from, rule.act);
    }
}

// Looks at the direction's state at each step: it may be held, healed or cut meanwhile.
awaitable<void> fault_proxy::write(link& on, side from, std::string bytes) {
    link::way& way = on.of(from);
    std::size_t at = 0;
    while (at < bytes.size() && !on.over && !way.deaf) {
        if (way.holding) {
            way.held.append(bytes, at);
            co_return;
        }
        const std::size_t size = way.byte_by_byte ? 1 : bytes.size() - at;
        error_code failure;
        co_await asio::async_write(on.to(from), asio::buffer(bytes.data() + at, size),
                                   asio::redirect_error(asio::use_awaitable, failure));
        at += size;
        if (failure) {
            way.deaf = true;
        } else if (way.pause.count() > 0) {
            asio::steady_timer timer(executor_, way.pause);
            co_await timer.async_wait(asio::use_awaitable);
        }
    }
}

void fault_proxy::act(link& on, side from, fault_action what) {
    error_code ignored;
    switch (what) {
        case fault_action::cut: on.close_both(false); break;
        case fault_action::reset: on.close_both(true); break;
        case fault_action::half_close:
            on.of(from).deaf = true;
            on.to(from).shutdown(tcp::socket::shutdown_send, ignored);
            break;
        case fault_action::hold: on.of(from).holding = true; break;
        case fault_action::hold_both:
            on.of(side::frontend).holding = on.of(side::backend).holding = true;
            break;
        default: break;  // nothing that is done once
    }
}

void fault_proxy::each(fault_action what, side from) {
    for (const link_ptr& on : links_) {
        act(*on, from, what);
    }
}

void fault_proxy::say(const std::string& bytes) {
    for (const link_ptr& on : links_) {
        error_code ignored;
        asio::write(on->from(side::frontend), asio::buffer(bytes), ignored);
    }
}

// A sender has ended. While its direction is held, the receiver is not told.
void fault_proxy::end_of(link& on, side from, bool was_reset) {
    link::way& way = on.of(from);
    if (from == side::frontend) {
        sessions_ -= std::exchange(on.is_session, false);
    }
    way.ended = true;
    way.was_reset = way.was_reset || was_reset;
    if (on.over) {
        forget(on);
        return;
    }
    if (way.holding) {
        return;
    }
    if (way.was_reset) {
        on.close_both(true);
    } else {
        error_code ignored;
        on.to(from).shutdown(tcp::socket::shutdown_send, ignored);
    }
    if (on.of(other(from)).ended) {
        on.close_both(false);
        forget(on);
    }
}

void fault_proxy::forget(const link& gone) {
    const auto found = std::find_if(links_.begin(), links_.end(),
                                    [&](const link_ptr& one) { return one.get() == &gone; });
    if (found != links_.end() && gone.ways[0].ended && gone.ways[1].ended) {
        links_.erase(found);
    }
}

void fault_proxy::heal() {
    rules_.clear();
    set(admission::open);
    const std::vector<link_ptr> links = links_;
    for (const link_ptr& on : links) {
        for (const side from : {side::frontend, side::backend}) {
            link::way& way = on->of(from);
            way.pause = {};
            if (!std::exchange(way.holding, false) || on->over) {
                continue;
            }
            // A reset right after an orderly end takes back what was never delivered.
            int pending = 0;
            socklen_t size = sizeof pending;
            ::getsockopt(on->from(from).native_handle(), SOL_SOCKET, SO_ERROR, &pending, &size);
            way.was_reset = way.was_reset || pending != 0;
            error_code ignored;
            if (!way.was_reset) {
                asio::write(on->to(from), asio::buffer(way.held), ignored);
            }
            way.held.clear();
            if (way.ended || way.was_reset) {
                end_of(*on, from, way.was_reset);
            }
        }
    }
    happened();
}

int fault_proxy::seen(side from, char type) const {
    const auto found = seen_.find({from, type});
    return found == seen_.end() ? 0 : found->second;
}

awaitable<void> fault_proxy::until(std::function<bool()>& met, std::string what,
                                   std::chrono::milliseconds limit) {
    const auto deadline = bitdotio::deadline_after(limit);
    while (!met()) {
        if (std::chrono::steady_clock::now() >= deadline) {
            throw std::runtime_error("the proxy waited in vain for " + what);
        }
        asio::steady_timer late(executor_, deadline);
        late.async_wait([this](const error_code& ended) {
            if (!ended) happened();
        });
        error_code ignored;
        co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
}

awaitable<void> fault_proxy::until_seen(side from, char type, int count) {
    std::function<bool()> met = [=, this] { return seen(from, type) >= count; };
    co_await until(met, std::string("a message of type ") + type);
}

awaitable<void> fault_proxy::until_fired(std::size_t count) {
    std::function<bool()> met = [=, this] { return fired_ >= count; };
    co_await until(met, "a rule to be obeyed");
}

awaitable<void> fault_proxy::until_empty() {
    std::function<bool()> met = [this] { return links_.empty(); };
    co_await until(met, "its connections to end");
}

}  // namespace test
