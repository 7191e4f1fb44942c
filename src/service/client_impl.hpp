// What all copies of a client share: how it calls the API, and its pools.
#pragma once

#include <bitdotio/client.hpp>

#include "base/backoff.hpp"
#include "base/fork_guard.hpp"
#ifndef BITDOTIO_WITHOUT_POSTGRES
#include "pool/pool_core.hpp"
#endif
#include "service/https_pool.hpp"
#include "service/service_answer.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/system_error.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace bitdotio {

class client::impl {
public:
    impl(asio::any_io_executor executor, client_options options)
        : executor_(std::move(executor)),
          options_(options.resolved()),
          https_(std::make_shared<https_pool>(executor_, https_address::parse(options_.api_url),
                                              make_client_tls(options_.ca_file))) {
        if (options_.user_agent.empty()) {
            options_.user_agent = "cpp-bitdotio/" BITDOTIO_VERSION;
        }
        options_.pool.check();
        check_times();
    }

    // Errors: errc::bad_input naming the option.
    void check_times() const {
        const std::pair<const char*, std::chrono::milliseconds> times[] = {
            {"client_options::request_timeout", options_.request_timeout},
            {"retry_options::first_delay", options_.retry.first_delay},
            {"retry_options::max_delay", options_.retry.max_delay}};
        for (const auto& [name, time] : times) {
            if (time.count() < 0) {
                throw error(errc::bad_input, std::string(name) + " is " +
                                                 std::to_string(time.count()) +
                                                 " ms; it must not be negative");
            }
        }
    }

    // Whether doing it twice is the same as doing it once.
    enum class repeatable { no, yes };

    void check_same_process() const { birth_.check_same_process("the client"); }

    // The one place where a call is tried again.
    asio::awaitable<std::string> call(const char* what, std::string method, std::string target,
                                      std::string body, repeatable repeat) {
        check_same_process();
        const time_point deadline = deadline_after(options_.request_timeout);
        asio::steady_timer pause(co_await asio::this_coro::executor);
        outcome known = outcome::not_sent;
        for (int failed = 1;; ++failed) {
            std::optional<error> failure;
            std::optional<std::chrono::seconds> retry_after;
            try {
                https_request request;
                request.method = method;
                request.target = "/v2beta" + target;
                request.authorization = "Bearer " + options_.key->reveal();
                request.user_agent = options_.user_agent;
                request.body = body;
                https_response response = co_await https_->request(std::move(request), deadline);
                if (is_success(response)) {
                    co_return std::move(response.body);
                }
                retry_after = response.retry_after;
                failure = refused(what, response);
            } catch (const error& thrown) {
                failure = thrown.with_message(std::string("cannot ") + what + ": " + thrown.what());
            } catch (const boost::system::system_error& early) {  // cancelled before this try began
                if (early.code() != asio::error::operation_aborted) throw;
                throw cancelled_call(what, known, failed - 1);
            }
            known = of_both(known, failure->outcome());
            failure = failure->with(known);
            const auto delay =
                may_retry(*failure, repeat)
                    ? retry_delay(options_.retry, failed, retry_after, random_jitter())
                    : std::nullopt;
            if (!delay || from_now(*delay) >= deadline) {
                throw failure->with_attempts(failed);
            }
            pause.expires_after(*delay);
            boost::system::error_code aborted;
            try {
                co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, aborted));
            } catch (const boost::system::system_error& early) {  // cancelled just before
                aborted = early.code();
            }
            if (aborted) throw cancelled_call(what, known, failed);
        }
    }

    // What is known after two tries: one that may have been carried out is not forgotten.
    static outcome of_both(outcome before, outcome now) noexcept {
        if (before == outcome::unknown && now != outcome::executed) return before;
        if (before == outcome::not_executed && now == outcome::not_sent) return before;
        return now;
    }

    // A call cancelled between its tries: what is known is what the tries have shown.
    static error cancelled_call(const char* what, outcome known, int tries) {
        return error(errc::cancelled, std::string("cannot ") + what + ": cancelled" +
                                          (tries > 0 ? " between two tries" : ""))
            .with(known)
            .with_attempts(std::max(tries, 1));
    }

    // One try, without a timeout: for files, whose transfer takes its time.
    asio::awaitable<std::string> send(const char* what, https_request request) {
        check_same_process();
        request.user_agent = options_.user_agent;
        try {
            https_response response = co_await https_->request(std::move(request), no_deadline);
            if (!is_success(response)) throw refused(what, response);
            co_return std::move(response.body);
        } catch (const error& failure) {
            if (failure.http_status() != 0) throw;
            throw failure.with_message(std::string("cannot ") + what + ": " + failure.what());
        }
    }

    static bool may_retry(const error& failure, repeatable repeat) {
        switch (failure.code()) {
            case errc::connect_failed: return true;
            case errc::rate_limited: return true;  // refused unseen
            case errc::connection_lost: return repeat == repeatable::yes;
            case errc::api_failed:
                return repeat == repeatable::yes &&
                       (failure.http_status() == 502 || failure.http_status() == 503 ||
                        failure.http_status() == 504);
            default: return false;
        }
    }

    const client_options& options() const { return options_; }
    const std::shared_ptr<https_pool>& https() const { return https_; }

#ifndef BITDOTIO_WITHOUT_POSTGRES
    bitdotio::connect_options connect_to(const database_name& name) const {
        if (options_.postgres_host.empty() || options_.postgres_port == 0) {
            throw error(errc::bad_input,
                        "the Postgres endpoint is unknown: set client_options::postgres_host and "
                        "postgres_port, or BITIO_PG_HOST and BITIO_PG_PORT");
        }
        bitdotio::connect_options connect = options_.connect;
        connect.hosts = {{options_.postgres_host, options_.postgres_port}};
        connect.password = options_.key->reveal();
        connect.database = name.full();
        connect.ca_file = options_.ca_file;
        return connect;
    }

    bitdotio::pool pool(const database_name& name) {
        check_same_process();
        const std::scoped_lock lock(pools_mutex_);
        const auto found = pools_.find(name);
        if (found != pools_.end() && (closed_ || !found->second.is_closed())) {
            return found->second;
        }
        const bitdotio::pool fresh(executor_, connect_to(name), options_.pool);
        if (closed_) {  // nobody would close it
            fresh.core()->begin_close();
        }
        return pools_.insert_or_assign(name, fresh).first->second;
    }

    // All pools, which refuse new callers from now on, as further ones do.
    std::vector<bitdotio::pool> close_pools() {
        const std::scoped_lock lock(pools_mutex_);
        closed_ = true;
        std::vector<bitdotio::pool> all;
        for (const auto& [name, one] : pools_) {
            one.core()->begin_close();
            all.push_back(one);
        }
        return all;
    }
#endif

private:
    static double random_jitter() {
        thread_local std::minstd_rand engine{std::random_device{}()};
        return std::uniform_real_distribution<double>(0, 1)(engine);
    }

    const fork_guard birth_;
    asio::any_io_executor executor_;
    client_options options_;
    std::shared_ptr<https_pool> https_;
#ifndef BITDOTIO_WITHOUT_POSTGRES
    // The only lock of the library, never held over a suspension: `pool` is not an awaitable.
    std::mutex pools_mutex_;
    std::map<database_name, bitdotio::pool> pools_;
    bool closed_ = false;
#endif
};

}  // namespace bitdotio
