// A pool's metrics for Prometheus, through the library prometheus-cpp (Debian: prometheus-cpp-dev).
//
// Opt-in: programs that include this link prometheus-cpp's core.
#pragma once

#include <bitdotio/observer.hpp>

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <chrono>
#include <map>
#include <source_location>
#include <string>
#include <string_view>

namespace bitdotio {

/// Counts and measures what a pool does, in a registry of yours.
///
/// The names are OpenTelemetry's in Prometheus' spelling, with the label pool_name:
/// db_client_connection_create_time_seconds, _wait_time_seconds, _use_time_seconds and
/// _timeouts_total, db_client_operation_duration_seconds. Metrics that OpenTelemetry has no name
/// for begin with bitdotio_pool_: connects_total, connect_failures_total, closes_total by reason,
/// wakes_total, wake_time_seconds, retries_total, leaks_total. The numbers of idle and used
/// connections at a moment are in pool::statistics.
///
/// Set it as pool_options::observer, one for each pool.
///
/// Thread safety: as pool_observer.
/// Lifetime: the registry must outlive it.
/// See: OpenTelemetry, "Semantic conventions for database client metrics".
class prometheus_observer : public pool_observer {
public:
    /// Parameters: `pool_name` tells this pool from others; it must not hold a password.
    prometheus_observer(::prometheus::Registry& registry, std::string pool_name)
        : label_{{"pool_name", std::move(pool_name)}},
          create_time_(times(registry, "db_client_connection_create_time_seconds",
                             "The time it took to open a connection.")),
          wait_time_(times(registry, "db_client_connection_wait_time_seconds",
                           "The time it took to obtain a connection from the pool.")),
          use_time_(times(registry, "db_client_connection_use_time_seconds",
                          "The time between borrowing a connection and returning it.")),
          operations_(times(registry, "db_client_operation_duration_seconds",
                            "The time a statement of the pool took, retries included.")),
          wake_time_(times(registry, "bitdotio_pool_wake_time_seconds",
                           "The time the database took to wake.")),
          refused_(counts(registry, "db_client_connection_timeouts_total",
                          "Callers who obtained no connection.")),
          connects_(counts(registry, "bitdotio_pool_connects_total", "Tries to connect.")),
          connect_failures_(counts(registry, "bitdotio_pool_connect_failures_total",
                                   "Tries to connect that failed.")),
          failed_operations_(
              counts(registry, "bitdotio_pool_failed_operations_total", "Statements that failed.")),
          retries_(counts(registry, "bitdotio_pool_retries_total", "Statements sent once more.")),
          wakes_(counts(registry, "bitdotio_pool_wakes_total",
                        "Times the database was found asleep and woke.")),
          leaks_(counts(registry, "bitdotio_pool_leaks_total",
                        "Connections held for longer than allowed.")),
          closes_(::prometheus::BuildCounter()
                      .Name("bitdotio_pool_closes_total")
                      .Help("Connections closed, by reason.")
                      .Register(registry)) {}

    void connecting() override { connects_.Increment(); }
    void connected(duration create_time) override { create_time_.Observe(seconds(create_time)); }
    void connect_failed(const error&, duration) override { connect_failures_.Increment(); }
    void woke(duration after) override {
        wakes_.Increment();
        wake_time_.Observe(seconds(after));
    }
    void acquired(duration wait_time) override { wait_time_.Observe(seconds(wait_time)); }
    void acquire_failed(const error&, duration) override { refused_.Increment(); }
    void released(duration use_time) override { use_time_.Observe(seconds(use_time)); }
    void closed(close_reason why) override {
        std::map<std::string, std::string> labels = label_;
        labels.emplace("reason", to_string(why));
        closes_.Add(labels).Increment();
    }
    void queried(std::string_view, duration took, const error* failure) override {
        operations_.Observe(seconds(took));
        if (failure) {
            failed_operations_.Increment();
        }
    }
    void retried(const error&) override { retries_.Increment(); }
    void leaked(const std::source_location&, duration) override { leaks_.Increment(); }

private:
    static double seconds(duration time) { return std::chrono::duration<double>(time).count(); }

    // The buckets OpenTelemetry recommends for these, in seconds.
    ::prometheus::Histogram& times(::prometheus::Registry& registry, const char* name,
                                   const char* help) {
        const ::prometheus::Histogram::BucketBoundaries buckets{0.001, 0.005, 0.01, 0.05, 0.1,
                                                                0.5,   1,     5,    10};
        return ::prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(label_,
                                                                                           buckets);
    }

    ::prometheus::Counter& counts(::prometheus::Registry& registry, const char* name,
                                  const char* help) {
        return ::prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add(label_);
    }

    const std::map<std::string, std::string> label_;
    ::prometheus::Histogram& create_time_;
    ::prometheus::Histogram& wait_time_;
    ::prometheus::Histogram& use_time_;
    ::prometheus::Histogram& operations_;
    ::prometheus::Histogram& wake_time_;
    ::prometheus::Counter& refused_;
    ::prometheus::Counter& connects_;
    ::prometheus::Counter& connect_failures_;
    ::prometheus::Counter& failed_operations_;
    ::prometheus::Counter& retries_;
    ::prometheus::Counter& wakes_;
    ::prometheus::Counter& leaks_;
    ::prometheus::Family<::prometheus::Counter>& closes_;
};

}  // namespace bitdotio
