// A pool's events in Prometheus' text format.
#include <bitdotio/prometheus.hpp>

#include <doctest/doctest.h>
#include <prometheus/text_serializer.h>

#include <string>

namespace {

using namespace std::chrono_literals;

TEST_CASE("the events of a pool are counted and measured under OpenTelemetry's names") {
    prometheus::Registry registry;
    bitdotio::prometheus_observer observer(registry, "shop");
    observer.connecting();
    observer.connected(20ms);
    observer.woke(300ms);
    observer.acquired(30ms);
    observer.released(2s);
    observer.closed(bitdotio::close_reason::idle);
    observer.closed(bitdotio::close_reason::idle);
    observer.closed(bitdotio::close_reason::dead);
    const bitdotio::error failure(bitdotio::errc::acquire_timeout, "words");
    observer.acquire_failed(failure, 30s);
    observer.queried("SELECT 'secret'", 5ms, &failure);

    const std::string text = prometheus::TextSerializer().Serialize(registry.Collect());
    const char* const lines[] = {
        "db_client_connection_create_time_seconds_count{pool_name=\"shop\"} 1",
        "db_client_connection_wait_time_seconds_bucket{pool_name=\"shop\",le=\"0.05\"} 1",
        "db_client_connection_wait_time_seconds_bucket{pool_name=\"shop\",le=\"0.01\"} 0",
        "db_client_connection_use_time_seconds_sum{pool_name=\"shop\"} 2",
        "db_client_connection_timeouts_total{pool_name=\"shop\"} 1",
        "db_client_operation_duration_seconds_count{pool_name=\"shop\"} 1",
        "bitdotio_pool_wakes_total{pool_name=\"shop\"} 1",
        "bitdotio_pool_closes_total{pool_name=\"shop\",reason=\"idle\"} 2",
        "bitdotio_pool_closes_total{pool_name=\"shop\",reason=\"dead\"} 1",
        "bitdotio_pool_failed_operations_total{pool_name=\"shop\"} 1",
    };
    for (const char* const line : lines) {
        CHECK_MESSAGE(text.find(line) != std::string::npos, line);
    }
    CHECK(text.find("secret") == std::string::npos);
}

}  // namespace
